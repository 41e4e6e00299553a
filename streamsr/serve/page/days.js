// Days as the viewer's clock has them, of recordings that the server lists by days of UTC. Pure.

const DAY_MS = 86_400_000;
const UTC = { timeZone: "UTC" };

/** The local day of a time, as in "2026-11-30". */
export const dayOf = (date) => date.toLocaleDateString("sv");

/** The local days that days of UTC lie in, the newest first: each may lie in two. */
export function localDays(days) {
  const begins = days.map((day) => Date.parse(`${day}T00:00Z`));
  const all = begins.flatMap((ms) => [dayOf(new Date(ms)), dayOf(new Date(ms + DAY_MS - 1))]);
  return [...new Set(all)].sort().reverse();
}

/** The days of UTC that a local day lies in. */
export function utcDays(day) {
  const begin = new Date(`${day}T00:00`);
  const end = new Date(`${day}T23:59:59`);
  return [...new Set([begin, end].map((date) => date.toLocaleDateString("sv", UTC)))];
}

/** A local day in words. */
export const dayInWords = (day) => new Date(`${day}T12:00`).toLocaleDateString("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric",
});

export const timeOf = (date) => date.toLocaleTimeString("en-GB");

/** Seconds as in 9:05 or 1:00:00. */
export function lasts(seconds) {
  const [h, m, s] = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  const two = (value) => String(value).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
