// Full screen: the browser's own, or where it has none (iPhones) or refuses it (frames of other
// pages) a layout that fills the window. Controls go away there while nobody moves.

const IDLE_MS = 3000;
const ACTIVE = ["pointermove", "pointerdown", "keydown", "focusin"];

export class FullScreen {
  /** `changed(full)` is told whenever it begins or ends. */
  constructor(stage, changed) {
    this.stage = stage;
    this.changed = changed;
    this.filling = false; // without the browser's own
    for (const event of ["fullscreenchange", "webkitfullscreenchange"]) {
      document.addEventListener(event, () => this.show());
    }
    for (const event of ACTIVE) stage.addEventListener(event, () => this.active());
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.filling) this.fill(false);
    });
  }

  get native() {
    return (document.fullscreenElement ?? document.webkitFullscreenElement) === this.stage;
  }

  async toggle() {
    if (this.filling) this.fill(false);
    else if (this.native) (document.exitFullscreen ?? document.webkitExitFullscreen).call(document);
    else await this.begin();
  }

  async begin() {
    const request = this.stage.requestFullscreen ?? this.stage.webkitRequestFullscreen;
    try {
      if (!request) throw new Error("there is none");
      await request.call(this.stage);
    } catch {
      this.fill(true);
    }
  }

  fill(filling) {
    this.filling = filling;
    // What is behind must not be reached by the keyboard.
    for (const element of document.querySelectorAll("[data-behind]")) element.inert = filling;
    this.show();
  }

  show() {
    const full = this.filling || this.native;
    this.stage.toggleAttribute("data-full", full);
    document.documentElement.toggleAttribute("data-filling", this.filling);
    this.changed(full);
    this.active();
  }

  active() {
    clearTimeout(this.timer);
    this.stage.removeAttribute("data-idle");
    this.timer = setTimeout(() => this.stage.setAttribute("data-idle", ""), IDLE_MS);
  }
}
