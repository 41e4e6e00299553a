// How many videos this machine shows at once, by what it drops. Pure: no clock, no element.

const STRIKES = 2; // looks in a row that find frames dropped, until fewer are shown
const DROPPED = 0.15; // of the frames; more than this is a strike
const FEWER = 0.7; // of those shown that go on
const REST_MS = 30_000; // until one more is tried; twice as long after each time that fewer were shown
const LONGEST_REST_MS = 600_000;

export class Governor {
  constructor() {
    this.limit = Infinity;
    this.strikes = 0;
    this.restMs = REST_MS;
    this.changedMs = -Infinity;
  }

  /** Takes what was presented and dropped by all since the look before, and how late this look is. */
  look({ shown, presented, dropped, lateMs }, nowMs) {
    const bad = dropped > DROPPED * (presented + dropped) || lateMs > 500;
    this.strikes = bad ? this.strikes + 1 : 0;
    if (this.strikes >= STRIKES && shown > 0) this.fewer(Math.floor(shown * FEWER), nowMs);
    else if (!bad && shown >= this.limit && nowMs - this.changedMs > this.restMs) {
      this.limit += 1;
      this.changedMs = nowMs;
    }
  }

  /** Allows no more than this, as the machine is too slow, or the server has no more to give. */
  fewer(limit, nowMs) {
    if (limit >= this.limit) return;
    this.limit = limit;
    this.strikes = 0;
    this.restMs = Math.min(2 * this.restMs, LONGEST_REST_MS);
    this.changedMs = nowMs;
  }
}
