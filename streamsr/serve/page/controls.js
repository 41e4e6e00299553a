// Buttons and keys: split view, audio, full screen.

import { $ } from "./common.js";

export class Controls {
  constructor(audio) {
    this.audio = audio;
    this.stage = $("stage");
    $("view").addEventListener("click", () => this.toggleView());
    $("mute").addEventListener("click", () => this.toggleMuted());
    $("full").addEventListener("click", () => this.toggleFull());
    $("split").addEventListener("input", () => this.moveDivider());
    addEventListener("keydown", (event) => this.key(event));
    this.moveDivider(); // browsers restore a range's value on reload
  }

  /** Tells whether the stream has audio. */
  setAudio(present) {
    $("mute").disabled = !present;
    this.labelMuted();
  }

  toggleView() {
    const split = this.stage.dataset.view !== "split";
    this.stage.dataset.view = split ? "split" : "side";
    $("view").setAttribute("aria-pressed", String(split));
    if (split) $("split").focus({ preventScroll: true });
  }

  toggleMuted() {
    if ($("mute").disabled) return;
    this.audio.muted = !this.audio.muted;
    this.labelMuted();
  }

  labelMuted() {
    const { disabled } = $("mute");
    $("mute").setAttribute("aria-pressed", String(this.audio.muted));
    $("mute").querySelector("span").textContent = disabled ? "No sound" : this.audio.muted ? "Muted" : "Sound on";
    $("mute").title = disabled ? "This stream has no sound" : "Sound on or off (M)";
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen?.().catch(() => {}); // refused: the page stays as it is
  }

  moveDivider() {
    this.stage.style.setProperty("--split", `${$("split").value}%`);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const keys = { s: () => this.toggleView(), m: () => this.toggleMuted(), f: () => this.toggleFull() };
    keys[event.key.toLowerCase()]?.();
  }
}
