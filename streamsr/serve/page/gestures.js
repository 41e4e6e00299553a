// Wheel, pinch, double tap and drag over the frames: they zoom, move what is shown, or the divider.

const TAP_MS = 300; // a press no longer than this is a tap, and two so close a double tap
const TAP_PX = 12; // a pointer that moved no further has not been dragged
const GRAB_PX = 28; // so close to the divider a drag moves it even where the frames are zoomed
const DOUBLE_TAP = 3; // times as large
const WHEEL = 0.0022; // natural logarithm of the factor, of a pixel of the wheel
const LINE_PX = 30; // of a wheel that counts lines
const WHEEL_MOST = 240; // pixels of one event that count

export class Gestures {
  /**
   * @param {HTMLElement} frames holds the figures of both frames
   * @param {Zoom} zoom
   * @param {{shown(): boolean, share: number, moveTo(share: number): void}} divider
   */
  constructor(frames, zoom, divider) {
    this.frames = frames;
    this.zoom = zoom;
    this.divider = divider;
    this.pointers = new Map(); // those that are down, by their id: where
    this.drag = ""; // what the one that is down moves: "divider", "frame", or "" before it moved
    this.pressed = { ms: 0, x: 0, y: 0 };
    this.tapped = { ms: -Infinity, x: 0, y: 0 };
    frames.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    frames.addEventListener("pointerdown", (event) => this.down(event));
    frames.addEventListener("pointermove", (event) => this.moved(event));
    for (const end of ["pointerup", "pointercancel"]) {
      frames.addEventListener(end, (event) => this.up(event));
    }
    // Older iPhones would zoom the page besides.
    frames.addEventListener("gesturestart", (event) => event.preventDefault());
  }

  /** The window that a point lies in, and where in it: all of the figures show the same part. */
  at({ x, y }) {
    const boxes = [...this.frames.querySelectorAll("figure")].map((f) => f.getBoundingClientRect());
    const holds = (box) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
    const box = boxes.find(holds) ?? boxes.at(-1);
    return { box, u: (x - box.left) / box.width, v: (y - box.top) / box.height };
  }

  wheel(event) {
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PX : 1;
    const pixels = Math.max(-WHEEL_MOST, Math.min(WHEEL_MOST, event.deltaY * lines));
    if (this.zoom.scale === 1 && pixels >= 0 && !event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    const { u, v } = this.at(event);
    // A pinch on a touchpad comes as a wheel with Ctrl, in steps that are a tenth as large.
    this.zoom.by(Math.exp(-pixels * WHEEL * (event.ctrlKey ? 5 : 1)), u, v);
  }

  down(event) {
    if (event.button !== 0) return;
    this.frames.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.drag = "";
    this.pressed = { ms: event.timeStamp, x: event.clientX, y: event.clientY };
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (this.pointers.size === 1) this.dragged(before, now);
    else if (this.pointers.size === 2) this.pinched(event.pointerId, before, now);
    if (this.drag || this.pointers.size === 2) this.pointers.set(event.pointerId, now);
  }

  dragged(before, now) {
    if (!this.drag) {
      if (Math.hypot(now.x - before.x, now.y - before.y) < TAP_PX / 3) return;
      this.drag = this.grabs(before) ? "divider" : "frame";
    }
    const { box } = this.at(this.pressed);
    if (this.drag === "divider") this.divider.moveTo((now.x - box.left) / box.width);
    else this.zoom.move((now.x - before.x) / box.width, (now.y - before.y) / box.height);
  }

  grabs(point) {
    if (!this.divider.shown()) return false;
    const { box, u } = this.at(point);
    return this.zoom.scale === 1 || Math.abs(u - this.divider.share) * box.width < GRAB_PX;
  }

  pinched(id, before, now) {
    const [[, other]] = [...this.pointers].filter(([key]) => key !== id);
    const apart = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
    const middle = (point) => ({ x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 });
    const { box, u, v } = this.at(middle(before));
    const to = middle(now);
    this.drag = "frame"; // what one finger goes on with when the other has left
    this.zoom.by(apart(now) / apart(before), u, v);
    this.zoom.move((to.x - box.left) / box.width - u, (to.y - box.top) / box.height - v);
  }

  up(event) {
    const alone = this.pointers.size === 1;
    if (!this.pointers.delete(event.pointerId) || event.type === "pointercancel") return;
    const { pressed } = this;
    const close = (point) => Math.hypot(event.clientX - point.x, event.clientY - point.y) < TAP_PX;
    if (!alone || this.drag || event.timeStamp - pressed.ms > TAP_MS || !close(pressed)) return;
    const { tapped } = this;
    const twice = event.timeStamp - tapped.ms < TAP_MS + 100 && close(tapped);
    this.tapped = { ...pressed, ms: twice ? -Infinity : event.timeStamp };
    if (!twice) return;
    const { u, v } = this.at(pressed);
    if (this.zoom.scale > 1) this.zoom.reset();
    else this.zoom.by(DOUBLE_TAP, u, v);
  }
}
