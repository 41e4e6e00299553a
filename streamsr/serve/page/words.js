// The words for what the server says of a stream and of its outputs.

export const $ = (id) => document.getElementById(id);

export const WORDS = {
  starting: "starting",
  live: "live",
  down: "source away",
  ended: "ended",
  disabled: "switched off",
  lost: "not connected",
};

const OUTPUT_WORDS = { ...WORDS, up: "up", down: "away", off: "off" };

const HEADLINES = {
  starting: "Waiting for the first frame",
  down: "The source is away",
  ended: "This stream has ended",
  disabled: "This stream is switched off",
};

const NEVER_CAME = "The source has not come yet";
const LAST_FRAME = "The source is away: this is its last frame";

const DAY_MS = 86_400_000;

export const number = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

/** A measure of a live stream; a stream that is not has none. */
export const measure = (status, key, digits) =>
  number(status?.state === "live" ? status[key] : null, digits);

export const size = (text) => text.replace("x", "\u2009×\u2009");

export const sizes = (status) =>
  (status.input && status.output ? `${size(status.input)} → ${size(status.output)}` : "–");

/** Whether another model runs than the one that was asked for, in words. */
export const fallback = (status) =>
  (status.wanted && status.model && status.wanted !== status.model
    ? `Fell back to ${status.model}: ${status.wanted} did not keep up.` : "");

/** What a stream that is not live is, in words; "" for one that is. `shown`: whether a frame is. */
export function headline(status, shown = false) {
  if (status.state === "down" && shown) return LAST_FRAME;
  if (status.state === "down" && !status.had_frame) return NEVER_CAME;
  return HEADLINES[status.state] ?? "";
}

/** Why, since when, and what is done about it; "" where nothing is known of it. */
export function reason(status) {
  const why = status.reason || status.message || "";
  const parts = [why, why && since(status.since), status.doing];
  return parts.filter(Boolean).join(" · ");
}

export const state = (status) => WORDS[status.state] ?? status.state;

/** One output, in words: its name, its state, and what is wrong with it. */
export function output(status) {
  const dropped = status.dropped ? `, ${status.dropped} packets dropped` : "";
  const why = reason(status);
  const text = OUTPUT_WORDS[status.state] ?? status.state;
  const again = status.state === "down" && !status.doing ? ", trying again" : "";
  return `${status.name}: ${text}${again}${dropped}${why && ` · ${why}`}`;
}

function since(text) {
  const date = new Date(text ?? NaN);
  if (Number.isNaN(date.getTime())) return "";
  const style = { hour: "2-digit", minute: "2-digit" };
  if (Date.now() - date.getTime() > DAY_MS) Object.assign(style, { day: "numeric", month: "short" });
  return `since ${date.toLocaleString("en-GB", style)}`;
}
