// All cameras at a glance: a snapshot of each, renewed now and then, and its state.

import { $, measure, named, ours, poll, sizes, fallback, WORDS } from "./common.js";

const STILL_MS = 3000; // between two snapshots of one camera

/** One camera: a link to its page. */
class Card {
  constructor(name) {
    this.name = name;
    this.element = $("card").content.firstElementChild.cloneNode(true);
    this.element.href = named("watch", name);
    this.part("name").textContent = name;
    this.asking = false; // for a snapshot
    this.askedMs = -Infinity;
  }

  part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }

  show(status) {
    this.element.dataset.state = status.state;
    this.part("state").dataset.state = status.state;
    this.part("state").textContent = WORDS[status.state] ?? status.state;
    this.part("fps").textContent = measure(status, "fps", 1);
    this.part("size").textContent = sizes(status);
    this.part("model").textContent = status.model || "–";
    const away = status.state !== "live";
    this.part("note").textContent = (away && status.message) || fallback(status);
    if (status.aspect > 0) this.element.style.setProperty("--aspect", status.aspect);
    if (status.snapshot && status.state === "live" && !document.hidden) this.renew();
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
      this.part("still").replaceChildren(image);
    } catch {
      // There is none now: the old one stays.
    }
    this.asking = false;
  }
}

const cards = new Map();

function show(streams) {
  const names = new Set(streams.map((stream) => stream.name));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    card.element.remove();
    cards.delete(name);
  }
  for (const status of streams) {
    if (!cards.has(status.name)) {
      cards.set(status.name, new Card(status.name));
      $("cameras").append(cards.get(status.name).element);
    }
    cards.get(status.name).show(status);
  }
  const live = streams.filter((stream) => stream.state === "live").length;
  say(`${live} of ${streams.length} live`, live === streams.length ? "live" : "down");
}

function say(text, state) {
  $("state").textContent = text;
  $("state").dataset.state = state;
}

poll(ours("/api/streams"), show, (error) => say(`Trying again: ${error.message}`, "lost"));
