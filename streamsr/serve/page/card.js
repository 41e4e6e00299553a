// One camera of the wall: a link to its page, with its video, or with a snapshot now and then.

import { eachFrame } from "./frames.js";
import { Player } from "./player.js";
import { named } from "./server.js";
import { $, fallback, headline, measure, reason, sizes, state } from "./words.js";

const STILL_MS = 3000; // between two snapshots
const STALLED_MS = 8000; // a video without a frame for so long shows snapshots instead

export class Card {
  /** `full()` is called when the server refuses a video, as there are too many viewers. */
  constructor(name, viewer, full) {
    this.name = name;
    this.viewer = viewer;
    this.full = full;
    this.element = $("card").content.firstElementChild.cloneNode(true);
    this.element.href = named("watch", name);
    this.part("name").textContent = name;
    this.video = this.part("video");
    eachFrame(this.video, () => this.presented());
    this.visible = false; // scrolled into view
    this.player = null; // while its video is wanted
    this.frameMs = -Infinity; // when the newest frame of the video came
    this.status = null;
    this.asking = false; // for a snapshot
    this.askedMs = -Infinity;
    this.before = { presented: 0, dropped: 0 }; // at the look before
  }

  part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }

  show(status) {
    this.status = status;
    this.element.dataset.state = status.state;
    this.part("state").dataset.state = status.state;
    this.part("state").textContent = state(status);
    this.part("fps").textContent = measure(status, "fps", 1);
    this.part("size").textContent = sizes(status);
    this.part("model").textContent = status.model || "–";
    this.part("why").textContent = headline(status);
    const note = reason(status) || fallback(status);
    this.part("note").textContent = this.part("note").title = note;
    if (status.aspect > 0) this.element.style.setProperty("--aspect", status.aspect);
    this.element.toggleAttribute("data-playing", this.playing);
    if (status.snapshot && this.live && this.visible && !this.playing) this.renew();
  }

  get live() {
    return this.status?.state === "live";
  }

  get playing() {
    return this.player !== null && performance.now() - this.frameMs < STALLED_MS;
  }

  /** Starts or ends its video. */
  want(wanted) {
    if (wanted === (this.player !== null)) return;
    if (!wanted) {
      this.player.end();
      this.player = null;
      this.frameMs = -Infinity;
      this.element.removeAttribute("data-playing");
      return;
    }
    this.player = new Player(this.name, { after: this.video }, {
      wanted: () => this.live,
      hls: () => this.status?.hls ?? false,
      play: (video) => video.play().catch(() => {}), // refused: snapshots are shown
      playing() {},
      trouble: (_, error) => {
        if (error.status === 503) this.full();
      },
    }, this.viewer);
    this.player.run();
  }

  presented() {
    if (!this.player) return; // one that came late
    this.frameMs = performance.now();
    this.element.toggleAttribute("data-playing", true);
  }

  /** The frames presented and dropped since it was asked before. */
  count() {
    const { totalVideoFrames, droppedVideoFrames } = this.video.getVideoPlaybackQuality();
    const { presented, dropped } = this.before;
    this.before = { presented: totalVideoFrames - droppedVideoFrames, dropped: droppedVideoFrames };
    // A new session counts from zero.
    return {
      presented: Math.max(0, this.before.presented - presented),
      dropped: Math.max(0, this.before.dropped - dropped),
    };
  }

  /** Replaces the snapshot once the new one is there whole. */
  async renew() {
    if (this.asking || performance.now() - this.askedMs < STILL_MS) return;
    this.asking = true;
    this.askedMs = performance.now();
    const image = new Image();
    image.alt = "";
    image.src = named("snapshot", this.name, `.jpg?${Date.now()}`);
    try {
      await image.decode();
      this.part("image").replaceChildren(image);
    } catch {
      // There is none now: the old one stays.
    }
    this.asking = false;
  }
}
