// Which part of the frames is shown. Pure: no element, no event.

export const MOST = 8; // times as large

const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

/**
 * How the frame lies behind its window, both of size 1: it is `scale` times as large, and its upper
 * left corner is at (x, y), so that it always fills the window.
 */
export class Zoom {
  /** `changed()` is called whenever another part is shown. */
  constructor(changed) {
    this.changed = changed;
    [this.scale, this.x, this.y] = [1, 0, 0];
  }

  reset() {
    this.set(1, 0, 0);
  }

  /** Scales, while what is at the point (u, v) of the window stays there. */
  by(factor, u = 0.5, v = 0.5) {
    const scale = clamp(this.scale * factor, 1, MOST);
    const ratio = scale / this.scale;
    this.set(scale, u - (u - this.x) * ratio, v - (v - this.y) * ratio);
  }

  /** Moves what is shown along with a pointer that moved by so much of the window. */
  move(dx, dy) {
    this.set(this.scale, this.x + dx, this.y + dy);
  }

  set(scale, x, y) {
    this.scale = scale;
    this.x = clamp(x, 1 - scale, 0);
    this.y = clamp(y, 1 - scale, 0);
    this.changed();
  }

  /** The same as a CSS transform of the frame, whose origin is its upper left corner. */
  get transform() {
    const { scale, x, y } = this;
    return scale === 1 ? "" : `translate(${100 * x}%, ${100 * y}%) scale(${scale})`;
  }
}
