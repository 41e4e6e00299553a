// The page of one stream: finds out which, and connects the parts.

import { Autoplay } from "./autoplay.js";
import { Controls } from "./controls.js";
import { Glass } from "./glass.js";
import { Latency } from "./latency.js";
import { Pairs } from "./pairs.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { Recordings } from "./recordings.js";
import { ask, askOptional, named, ours, sleep, watched } from "./server.js";
import { $ } from "./words.js";

const STALLED_MS = 6000; // a live stream without a frame for so long needs a new connection
const MOVING_MS = 3000; // a video without a frame for so long stands still

async function findStreams() {
  for (;;) {
    try {
      const streams = await ask(ours("api/streams"));
      if (streams.length) return streams.map((stream) => stream.name);
      say("There is no stream yet");
    } catch (error) {
      say(`Trying again: ${error.message}`);
    }
    await sleep(2000);
  }
}

function say(text) {
  $("headline").textContent = text;
  $("banner").hidden = false;
}

function listStreams(names, current) {
  $("home").href = ours("");
  for (const name of names) {
    const link = document.createElement("a");
    link.href = named("watch", name);
    link.textContent = name;
    if (name === current) link.setAttribute("aria-current", "page");
    $("streams").append(link);
  }
  $("streams").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

async function main() {
  $("unscripted").remove();
  const [names, viewer] = await Promise.all([findStreams(), askOptional(ours("api/v1/viewer"))]);
  const name = watched() ?? names[0];
  listStreams(names, name);
  document.title = `${name} – streamsr`;

  const [before, after, audio] = [$("video-before"), $("video-after"), $("audio")];
  const glass = new Glass(name);
  const pairs = new Pairs(
    { video: before, canvas: $("before") },
    { video: after, canvas: $("after") },
    (rtp, shownMs) => glass.shown(rtp, shownMs),
  );
  const { counters } = pairs;
  const latency = new Latency($("chart"));
  const panel = new Panel(name, latency, {
    get moving() { return performance.now() - counters.newestMs < MOVING_MS && counters.after > 0; },
    get shown() { return counters.drawn > 0; },
  });
  const autoplay = new Autoplay((tap) => panel.update({ tap }));
  const controls = new Controls(name, [audio, after], after);
  let started = performance.now();
  const player = new Player(name, { after, before, audio }, {
    wanted: () => !panel.over,
    hls: () => panel.status?.hls ?? false,
    play: (element) => autoplay.play(element),
    playing(connection) {
      const { way, tracks, audio: present } = connection;
      pairs.reset(way === "WebRTC");
      glass.begin(connection);
      const track = tracks?.[2];
      controls.setAudio(track ? !track.muted : present);
      track?.addEventListener("unmute", () => controls.setAudio(true)); // its first packet came
      $("way").textContent = way;
      panel.update({ trouble: "", note: way === player.usual ? "" : explain(way) });
      started = performance.now();
    },
    trouble: (trouble) => panel.update({ trouble }),
  }, viewer);
  setInterval(() => {
    if (document.hidden || autoplay.waiting || panel.status?.state !== "live") {
      started = performance.now();
    }
    const newest = Math.max(counters.newestMs, started);
    if (performance.now() - newest > STALLED_MS) player.restart("no frames came");
  }, 1000);
  // For tests and for the curious.
  window.streamsr = { counters, glass, get sessions() { return player.sessions; } };
  panel.run();
  new Recordings(name).run();
  player.run();
}

const explain = (way) => `WebRTC does not pass here: this comes over ${way}, a little later`;

main();
