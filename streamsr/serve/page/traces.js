// When frames passed the points of their way: the server's times and the browser's, on one clock.
// Pure: no clock, no element.

const CLOCK_HZ = 90000; // of the time stamps of video
const WRAP = 2 ** 32;
const ROUNDED = [0, 1, -1, 2, -2]; // ticks, by which rounding may part them
const KEEP_MS = 10_000; // of frames
const MOST_WAITING = 2000; // frames whose traces are still to be found
const LEAST_OF = 16; // answers, of which the quickest tells the server's clock
const OUT_OF_STEP_MS = 60_000; // a camera whose clock says more is not set

/** The legs of a frame's way, in its order. */
export const LEGS = ["camera", "engine", "encoder", "display"];

/** How far the server's clock is ahead of the browser's. */
class ServerClock {
  constructor() {
    this.answers = [];
  }

  add(nowS, askedMs, answeredMs) {
    const aheadMs = nowS * 1000 - (askedMs + answeredMs) / 2;
    this.answers.push({ tookMs: answeredMs - askedMs, aheadMs });
    if (this.answers.length > LEAST_OF) this.answers.shift();
  }

  get aheadMs() {
    return this.answers.reduce((a, b) => (b.tookMs < a.tookMs ? b : a)).aheadMs;
  }
}

export class Traces {
  constructor() {
    this.clock = new ServerClock();
    this.begin();
  }

  /** Forgets all frames: those of another connection have other time stamps. */
  begin() {
    this.shown = new Map(); // when a frame was, by its time stamp; until its trace is found
    this.found = []; // frames of the last seconds, with all their times
    this.newest = []; // of the newest answer, whether they were shown or not
  }

  /** Notes that the frame with this time stamp, in ticks, is shown at a time of the browser's. */
  note(ticks, shownMs) {
    if (ticks < 0 || this.shown.has(ticks)) return;
    this.shown.set(ticks, shownMs);
    if (this.shown.size > MOST_WAITING) this.shown.delete(this.shown.keys().next().value);
  }

  /** Takes an answer of the server. `origin` is the time stamp of its time 0; null: not known. */
  take({ now, frames }, origin, askedMs, answeredMs) {
    this.clock.add(now, askedMs, answeredMs);
    this.newest = frames;
    if (origin !== null) for (const frame of frames) this.match(frame, origin);
    const oldest = answeredMs - KEEP_MS;
    this.found = this.found.filter(({ shownMs }) => shownMs > oldest);
    for (const [ticks, shownMs] of this.shown) if (shownMs < oldest) this.shown.delete(ticks);
  }

  match(frame, origin) {
    const about = Math.round(frame.time_s * CLOCK_HZ) + origin;
    for (const ticks of ROUNDED.map((more) => (about + more + WRAP) % WRAP)) {
      const shownMs = this.shown.get(ticks);
      if (shownMs === undefined) continue;
      this.shown.delete(ticks);
      this.found.push({ frame, shownMs, reported: false });
      return;
    }
  }

  /** The legs of frames that were shown, or else of those that were sent: milliseconds or null. */
  get ways() {
    if (!this.found.length) return this.newest.map((frame) => way(frame, null));
    const { aheadMs } = this.clock;
    return this.found.map(({ frame, shownMs }) => way(frame, shownMs + aheadMs));
  }

  /** How long frames took from being sent to being shown, of those not yet reported; seconds. */
  takeUnreported(most) {
    const fresh = this.found.filter(({ reported }) => !reported);
    for (const item of fresh) item.reported = true;
    const { aheadMs } = this.clock;
    return fresh.slice(-most).map(({ frame, shownMs }) => {
      const tookMs = Math.round(shownMs + aheadMs - 1000 * frame.sent);
      return Math.max(0, tookMs) / 1000;
    });
  }
}

function way(frame, shownMs) {
  const ms = (from, to) => 1000 * (frame[to] - frame[from]);
  const onWay = frame.captured === null ? NaN : ms("captured", "arrived");
  const camera = onWay >= 0 && onWay < OUT_OF_STEP_MS ? onWay : null;
  const display = shownMs === null ? null : Math.max(0, shownMs - 1000 * frame.encoded);
  const end = display ?? ms("encoded", "sent");
  return {
    camera,
    engine: ms("arrived", "upscaled"),
    encoder: ms("upscaled", "encoded"),
    display,
    whole: (camera ?? 0) + ms("arrived", "encoded") + end,
  };
}

/** What a share of the values, from 0 to 1, is at most; NaN of none. Nulls are left out. */
export function quantile(values, share) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  return known.length ? known[Math.ceil(share * known.length) - 1] : NaN;
}
