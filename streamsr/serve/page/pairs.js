// Shows two video tracks in step: the same frame on both sides at the same time.
//
// Each track's RTP time stamps begin at a random number, so equal frames have a constant but unknown
// difference. The server sends both packets of a frame together: frames that arrive within a few
// milliseconds of each other vote for their difference. From then on only pairs are drawn. Where the
// frames do not come over RTP, their times in the stream are equal.

import { eachFrame } from "./frames.js";

const CLOCK_HZ = 90000; // RTP clock of video
const WRAP = 2 ** 32;
const TOGETHER_MS = 8; // less than half a frame at 60 fps
const VOTES = 40; // newest ones that count
const QUORUM = 6;
const SAME_S = 0.0005; // frames are further apart than this
const ALONE_MS = 1000; // without a pair for so long, each side is drawn by itself

const difference = (a, b) => (((a - b) % WRAP) + WRAP) % WRAP;
const signed = (ticks) => (ticks > WRAP / 2 ? ticks - WRAP : ticks);

function copy(source, width, height, context) {
  const canvas = context.canvas;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.drawImage(source, 0, 0, width, height);
}

/** One track: a hidden video, the canvas to be seen, and the last few frames between them. */
class Side {
  constructor(video, canvas, capacity) {
    this.video = video;
    this.context = canvas.getContext("2d", { alpha: false });
    this.ring = Array.from({ length: capacity }, () => {
      const context = document.createElement("canvas").getContext("2d", { alpha: false });
      return { context, rtp: -1, received: 0, due: 0, width: 0, height: 0, kept: false };
    });
    this.overRtp = true;
    this.frames = 0;
    this.shown = null; // RTP time stamp of the frame on the canvas
  }

  /** The time stamp of a frame, in ticks; -1 where it has none. */
  clock(meta) {
    if (this.overRtp) return meta.rtpTimestamp ?? -1;
    return difference(Math.round(meta.mediaTime * CLOCK_HZ), 0);
  }

  /** Notes the frame that the video presents now. */
  note(meta) {
    const slot = this.ring[this.frames % this.ring.length];
    this.frames += 1;
    slot.rtp = this.clock(meta);
    slot.received = meta.receiveTime ?? -1;
    slot.due = meta.expectedDisplayTime ?? 0;
    slot.width = meta.width;
    slot.height = meta.height;
    slot.kept = false;
    return slot;
  }

  /**
   * Returns the pixels of the frame that the browser calls us for; null if the video has moved on since
   * (another call follows). Where VideoFrame is missing, as in pages without TLS from elsewhere,
   * that cannot be told, and once in a hundred frames or so a frame passes for the one before it.
   */
  grab(meta) {
    if (!window.VideoFrame || !this.video.requestVideoFrameCallback) return this.video;
    let frame;
    try {
      frame = new VideoFrame(this.video);
    } catch {
      return null; // a video that has just begun, or is about to end, may have none to give
    }
    if (Math.abs(frame.timestamp / 1e6 - meta.mediaTime) < SAME_S) return frame;
    frame.close();
    return null;
  }

  /** Keeps its pixels, for when its twin comes. */
  keep(slot, pixels) {
    copy(pixels, slot.width, slot.height, slot.context);
    slot.kept = true;
  }

  /** Draws a frame: from these pixels, or else from those that were kept. */
  show(slot, pixels = slot.context.canvas) {
    copy(pixels, slot.width, slot.height, this.context);
    this.shown = slot.rtp;
  }

  find(rtp) {
    return this.ring.find((slot) => slot.kept && slot.rtp === rtp);
  }

  /** The frame that arrived at about this time, if there is one. */
  findReceived(received) {
    const apart = (slot) => Math.abs(slot.received - received);
    const known = this.ring.filter((slot) => slot.rtp >= 0 && apart(slot) < TOGETHER_MS);
    return known.sort((a, b) => apart(a) - apart(b))[0];
  }

  forget() {
    for (const slot of this.ring) slot.rtp = -1;
    this.shown = null;
  }
}

export class Pairs {
  /** `drawn(rtp, shownMs)` is told of each frame of the after side, when it is seen. */
  constructor(before, after, drawn = () => {}) {
    this.drawn = drawn;
    // The input is small and may run ahead, as the output is what the browser fits to the audio.
    this.before = new Side(before.video, before.canvas, 24);
    this.after = new Side(after.video, after.canvas, 6);
    this.counters = {
      mode: "waiting", // "paired" or "alone" once something was drawn
      before: 0, // frames that the browser presented to us
      after: 0,
      drawn: 0, // times that the after side was drawn
      pairs: 0, // times that both sides were drawn with the same frame
      largestOffset: 0, // between what the two sides showed, in frames, since calibrated
      calibrations: 0,
      newestMs: 0, // performance.now() of the newest frame of the after side
    };
    this.reset();
    this.listen(this.before, "before");
    this.listen(this.after, "after");
  }

  /** Starts from scratch: another connection has other time stamps. */
  reset(overRtp = true) {
    this.before.overRtp = this.after.overRtp = overRtp;
    this.offset = overRtp ? null : 0; // rtp of after - rtp of before, for one frame
    this.votes = [];
    this.period = CLOCK_HZ / 25; // RTP ticks between frames
    this.pairedMs = performance.now();
    this.before.forget();
    this.after.forget();
  }

  listen(side, name) {
    eachFrame(side.video, (meta) => {
      this.counters[name] += 1;
      if (side === this.after) this.counters.newestMs = performance.now();
      const pixels = side.grab(meta);
      if (pixels === null) return;
      this.take(side, meta, pixels);
      pixels.close?.();
    });
  }

  take(side, meta, pixels) {
    const slot = side.note(meta);
    if (side.overRtp && slot.rtp >= 0) this.calibrate(side, slot);
    const twin = this.twin(side, slot);
    if (twin) {
      this.pair(side, slot, pixels, twin);
      return;
    }
    side.keep(slot, pixels);
    if (performance.now() - this.pairedMs > ALONE_MS) this.alone(side, slot);
  }

  other(side) {
    return side === this.before ? this.after : this.before;
  }

  twin(side, slot) {
    if (this.offset === null) return undefined;
    const rtp = side === this.before ? slot.rtp + this.offset : slot.rtp - this.offset;
    return this.other(side).find(difference(rtp, 0));
  }

  pair(side, slot, pixels, twin) {
    const rtp = side === this.after ? slot.rtp : twin.rtp;
    const last = this.after.shown;
    const ticks = last === null ? 0 : signed(difference(rtp, last));
    if (ticks < 0) return; // its twin came late: a newer pair is shown already
    // The median of the newest periods, nearly: one step up or down at each frame.
    if (ticks > 0) this.period += Math.sign(ticks - this.period) * this.period * 0.02;
    side.show(slot, pixels);
    this.other(side).show(twin);
    this.pairedMs = performance.now();
    this.counters.mode = "paired";
    this.counters.pairs += 1;
    this.tell(rtp, slot);
    this.noteOffset();
  }

  alone(side, slot) {
    if (this.counters.mode === "paired") this.votes = []; // they no longer hold
    this.counters.mode = "alone";
    side.show(slot);
    if (side === this.after) this.tell(slot.rtp, slot);
    this.noteOffset();
  }

  /** The after side was drawn with the frame of this time stamp, as `slot` came. */
  tell(rtp, slot) {
    this.counters.drawn += 1;
    this.drawn(rtp, Math.max(performance.now(), slot.due));
  }

  noteOffset() {
    if (this.offset === null || this.before.shown === null || this.after.shown === null) return;
    const ticks = signed(difference(this.after.shown - this.before.shown, this.offset));
    const frames = Math.round(Math.abs(ticks) / this.period);
    this.counters.largestOffset = Math.max(this.counters.largestOffset, frames);
  }

  calibrate(side, slot) {
    const other = this.other(side).findReceived(slot.received);
    if (!other) return;
    const [before, after] = side === this.before ? [slot, other] : [other, slot];
    const vote = difference(after.rtp, before.rtp);
    this.votes.push(vote);
    if (this.votes.length > VOTES) this.votes.shift();
    const agreeing = this.votes.filter((other) => other === vote).length;
    if (vote !== this.offset && agreeing >= QUORUM && 2 * agreeing > this.votes.length) {
      this.offset = vote;
      this.before.shown = this.after.shown = null; // were not in step yet
      this.pairedMs = performance.now();
      this.counters.calibrations += 1;
    }
  }
}
