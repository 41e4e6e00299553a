// Plays media, and where the browser refuses to do so by itself, at the next tap or key.

const GESTURES = ["pointerup", "click", "keydown"]; // which browsers count as the user's will

export class Autoplay {
  /** `changed(waiting)` is told when a tap is needed, and when it no longer is. */
  constructor(changed) {
    this.changed = changed;
    this.refused = new Set(); // elements
    for (const gesture of GESTURES) addEventListener(gesture, () => this.again(), true);
  }

  get waiting() {
    return [...this.refused].some((element) => element instanceof HTMLVideoElement);
  }

  async play(element) {
    try {
      await element.play();
      this.refused.delete(element);
    } catch (error) {
      if (error.name !== "NotAllowedError") return; // another source is being set; a stall shows
      this.refused.add(element);
    }
    this.changed(this.waiting);
  }

  again() {
    for (const element of [...this.refused]) this.play(element);
  }
}
