// The page: finds out which stream it is for, and connects the parts.

import { Controls } from "./controls.js";
import { Pairs } from "./pairs.js";
import { Panel } from "./panel.js";
import { $, ask, named, ours, sleep } from "./common.js";
import { Whep } from "./whep.js";

const STALLED_MS = 6000; // a live stream without a frame for so long needs a new connection

async function findStreams() {
  for (;;) {
    try {
      const streams = await ask(ours("/api/streams"));
      if (streams.length) return streams.map((stream) => stream.name);
      say("There is no stream yet");
    } catch (error) {
      say(`Trying again: ${error.message}`);
    }
    await sleep(2000);
  }
}

function say(text) {
  $("banner").textContent = text;
  $("banner").hidden = false;
}

function listStreams(names, current) {
  for (const name of names) {
    const link = document.createElement("a");
    link.href = named("watch", name);
    link.textContent = name;
    if (name === current) link.setAttribute("aria-current", "page");
    $("streams").append(link);
  }
}

function play(element, track) {
  element.srcObject = new MediaStream([track]);
  element.play().catch(() => {}); // all are muted; a refusal would show as a stall
}

async function main() {
  const names = await findStreams();
  const [, path, encoded] = location.pathname.split("/");
  const name = path === "watch" ? decodeURIComponent(encoded) : names[0];
  listStreams(names, name);
  document.title = `${name} – streamsr`;

  const audio = $("audio");
  const pairs = new Pairs(
    { video: $("video-before"), canvas: $("before") },
    { video: $("video-after"), canvas: $("after") },
  );
  const panel = new Panel(name);
  const controls = new Controls(audio);
  const whep = new Whep(named("whep", name), {
    wanted() {
      return !["ended", "disabled"].includes(panel.status?.state);
    },
    tracks([after, before, audioTrack]) {
      pairs.reset();
      play($("video-before"), before);
      play($("video-after"), after);
      play(audio, audioTrack);
      controls.setAudio(!audioTrack.muted);
      audioTrack.addEventListener("unmute", () => controls.setAudio(true)); // its first packet came
      panel.setTrouble("");
      started = performance.now();
    },
    trouble(text) {
      panel.setTrouble(text);
    },
  });
  let started = performance.now();
  setInterval(() => {
    if (document.hidden || panel.status?.state !== "live") started = performance.now();
    const newest = Math.max(pairs.counters.newestMs, started);
    if (performance.now() - newest > STALLED_MS) whep.restart("no pictures came");
  }, 1000);
  // For tests and for the curious.
  window.streamsr = { counters: pairs.counters, get sessions() { return whep.sessions; } };
  panel.run();
  whep.run();
}

main();
