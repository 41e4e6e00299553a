// All cameras at a glance: the video of those that are in view, as many as this machine holds, and
// their states.

import { Card } from "./card.js";
import { FullScreen } from "./fullscreen.js";
import { Governor } from "./governor.js";
import { askOptional, ours, poll } from "./server.js";
import { $ } from "./words.js";

const LOOK_MS = 2000;
const ASPECT = 16 / 9; // of most cameras
const LEAVE_MS = 20_000; // a page that is hidden for so long shows no video

const cards = new Map();
const governor = new Governor();
const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = [...cards.values()].find(({ element }) => element === target);
    if (card) card.visible = isIntersecting;
  }
  choose();
});
let viewer;
let hiddenMs = Infinity; // since when the page is
let lookedMs = performance.now();

const playing = () => [...cards.values()].filter((card) => card.player);

/** Gives video to the first cards in view, as many as the governor allows. */
function choose() {
  const hidden = performance.now() - hiddenMs > LEAVE_MS;
  let left = hidden ? 0 : governor.limit;
  for (const card of cards.values()) {
    const wanted = card.visible && card.live && left > 0;
    if (wanted) left -= 1;
    card.want(wanted);
  }
}

function look() {
  const nowMs = performance.now();
  const counts = playing().map((card) => card.count());
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  const lateMs = nowMs - lookedMs - LOOK_MS;
  lookedMs = nowMs;
  if (!document.hidden) {
    const seen = { shown: counts.length, presented: sum("presented"), dropped: sum("dropped"), lateMs };
    governor.look(seen, nowMs);
  }
  choose();
}

function add(name) {
  const full = () => governor.fewer(Math.max(0, playing().length - 1), performance.now());
  const card = new Card(name, viewer, full);
  cards.set(name, card);
  $("cameras").append(card.element);
  inView.observe(card.element);
}

/** How many cameras beside each other are largest, where all are in the window. */
function columns(count, width, height) {
  const widths = Array.from({ length: count }, (_, index) => {
    const across = index + 1;
    return Math.min(width / across, (height / Math.ceil(count / across)) * ASPECT);
  });
  return 1 + widths.indexOf(Math.max(...widths));
}

function fit() {
  const count = Math.max(1, cards.size);
  const across = columns(count, innerWidth, innerHeight);
  $("cameras").style.setProperty("--columns", across);
  $("cameras").style.setProperty("--rows", Math.ceil(count / across));
}

function show(streams) {
  const names = new Set(streams.map((stream) => stream.name));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    inView.unobserve(card.element);
    card.want(false);
    card.element.remove();
    cards.delete(name);
  }
  for (const status of streams) {
    if (!cards.has(status.name)) add(status.name);
    cards.get(status.name).show(status);
  }
  fit();
  const live = streams.filter((stream) => stream.state === "live").length;
  say(`${live} of ${streams.length} live`, live === streams.length ? "live" : "down");
}

function say(text, state) {
  $("state").textContent = text;
  $("state").dataset.state = state;
}

async function main() {
  $("unscripted").remove();
  $("home").href = ours("");
  viewer = await askOptional(ours("api/v1/viewer"));
  document.addEventListener("visibilitychange", () => {
    hiddenMs = document.hidden ? performance.now() : Infinity;
    choose();
  });
  const full = new FullScreen($("cameras"), (on) => { $("leave").hidden = !on; });
  for (const id of ["full", "leave"]) $(id).addEventListener("click", () => full.toggle());
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "f" && !event.ctrlKey && !event.metaKey && !event.altKey) full.toggle();
  });
  addEventListener("resize", fit);
  setInterval(look, LOOK_MS);
  poll(ours("api/streams"), show, (error) => say(`Trying again: ${error.message}`, "lost"));
}

// For tests and for the curious.
window.streamsr = { governor, get playing() { return playing().map((card) => card.name); } };
main();
