// Buttons and keys: split view, zoom, audio, full screen, a window of its own, a snapshot.

import { FullScreen } from "./fullscreen.js";
import { Gestures } from "./gestures.js";
import { canFloat, float } from "./floating.js";
import { saveSnapshot } from "./snapshot.js";
import { $ } from "./words.js";
import { MOST, Zoom } from "./zoom.js";

const STEP = 1.25; // of one press of a zoom key
const SHIFT = 0.1; // of the window, of one press of an arrow
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Controls {
  /** `audible` are the elements that may carry audio, `video` what floats. */
  constructor(stream, audible, video) {
    this.audible = audible;
    this.stage = $("stage");
    this.full = new FullScreen(this.stage, (full) => this.labelFull(full));
    this.zoom = new Zoom(() => this.showZoom());
    new Gestures($("frames"), this.zoom, {
      shown: () => this.split,
      get share() { return $("split").value / 100; },
      moveTo: (share) => this.moveDivider(100 * share),
    });
    const float_ = () => float(video);
    const snapshot = () => saveSnapshot(stream, $("after"));
    this.keys = {
      s: () => this.toggleView(), m: () => this.toggleMuted(), f: () => this.full.toggle(),
      p: float_, d: snapshot,
    };
    this.zoomKeys = {
      "+": () => this.zoom.by(STEP), "=": () => this.zoom.by(STEP),
      "-": () => this.zoom.by(1 / STEP), _: () => this.zoom.by(1 / STEP), 0: () => this.zoom.reset(),
    };
    const clicked = {
      view: this.keys.s, mute: this.keys.m, full: this.keys.f, float: float_, snapshot,
      nearer: this.zoomKeys["+"], farther: this.zoomKeys["-"], whole: this.zoomKeys[0],
    };
    for (const [id, act] of Object.entries(clicked)) $(id).addEventListener("click", act);
    $("float").hidden = !canFloat(video);
    $("split").addEventListener("input", () => this.moveDivider());
    addEventListener("keydown", (event) => this.key(event));
    this.moveDivider(); // browsers restore a range's value on reload
    this.showZoom();
  }

  get split() {
    return this.stage.dataset.view === "split";
  }

  /** Tells whether the stream has audio. */
  setAudio(present) {
    $("mute").disabled = !present;
    this.labelMuted();
  }

  toggleView() {
    const split = !this.split;
    this.stage.dataset.view = split ? "split" : "side";
    $("view").setAttribute("aria-pressed", String(split));
    if (split) $("split").focus({ preventScroll: true });
  }

  toggleMuted() {
    if ($("mute").disabled) return;
    const muted = !this.audible[0].muted;
    for (const element of this.audible) element.muted = muted;
    this.labelMuted();
  }

  labelMuted() {
    const { disabled } = $("mute");
    const { muted } = this.audible[0];
    $("mute").setAttribute("aria-pressed", String(muted));
    $("mute").querySelector("span").textContent = disabled ? "No audio" : muted ? "Muted" : "Audio on";
    $("mute").title = disabled ? "This stream has no audio" : "Audio on or off (M)";
  }

  labelFull(full) {
    $("full").setAttribute("aria-pressed", String(full));
    $("full").querySelector("span").textContent = full ? "Leave full screen" : "Full screen";
  }

  showZoom() {
    const { scale, transform } = this.zoom;
    for (const id of ["before", "after"]) $(id).style.transform = transform;
    this.stage.toggleAttribute("data-zoomed", scale > 1);
    $("whole").querySelector("span").textContent = `${scale.toFixed(1)}×`;
    $("whole").disabled = $("farther").disabled = scale === 1;
    $("nearer").disabled = scale >= MOST;
  }

  /** Moves the divider to so many percent; without any, to where its range stands. */
  moveDivider(percent) {
    if (percent !== undefined) $("split").value = percent;
    this.stage.style.setProperty("--split", `${$("split").value}%`);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const slider = event.target === $("split");
    if (!slider && event.target.closest("input, select, textarea, video")) return;
    const arrow = ARROWS[event.key];
    if (arrow && this.zoom.scale > 1 && (event.shiftKey || !slider)) {
      this.zoom.move(SHIFT * arrow[0], SHIFT * arrow[1]);
      event.preventDefault();
    }
    this.zoomKeys[event.key]?.();
    if (!event.repeat) this.keys[event.key.toLowerCase()]?.();
  }
}
