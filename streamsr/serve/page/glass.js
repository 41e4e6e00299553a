// Camera to glass: how long frames take from the camera to where they are seen, leg by leg. Asks and
// tells the server only while it is open and the page is seen, one request a second.

import { ask, named } from "./server.js";
import { LEGS, quantile, Traces } from "./traces.js";
import { $, number } from "./words.js";

const TICK_MS = 1000;
const MORE = 32; // frames asked for beside those that were shown: they may be on their way
const MOST = 256; // that the server keeps
const REPORTED = 100; // frames at once
const POINTS = 30; // of the chart, one in two seconds
const [WIDTH, HEIGHT] = [120, 40]; // of the drawing, in its own units
const LEAST_MS = 100; // that the full height stands for
const PATIENCE = 3; // answers without a frame that was shown, until that is said

export class Glass {
  constructor(stream) {
    this.stream = stream;
    this.traces = new Traces();
    this.details = $("glass");
    this.connection = null;
    this.points = []; // medians by leg, the newest last
    this.busy = false;
    this.details.addEventListener("toggle", () => this.reset());
    setInterval(() => this.tick(), TICK_MS);
  }

  /** Follows a connection: `{way, address?, send?, lost}`. */
  begin(connection) {
    this.connection = connection;
    this.reset();
    const over = () => {
      if (this.connection === connection) this.connection = null;
    };
    connection.lost.then(over, over);
  }

  reset() {
    this.traces.begin();
    this.origin = { WebRTC: undefined, WebSocket: 0 }[this.connection?.way] ?? null;
    this.asksOrigin = this.connection?.way === "WebRTC";
    this.asked = 0; // times
    this.points = [];
  }

  get open() {
    return this.details.open && !document.hidden;
  }

  /** Notes that the frame with this time stamp, in ticks, is shown at this time. */
  shown(ticks, shownMs) {
    if (this.open) this.traces.note(ticks, shownMs);
  }

  async tick() {
    if (!this.open || this.busy || !this.connection) return;
    this.busy = true;
    try {
      await this.step(this.connection);
    } catch (error) {
      $("glass-note").textContent = `Trying again: ${error.message}`;
    }
    this.busy = false;
  }

  /** Does the one thing of this second. */
  async step(connection) {
    if (this.asksOrigin) {
      const { rtp_origin: origins } = await ask(`${connection.address}/clock`);
      if (connection !== this.connection || typeof origins.output !== "number") return;
      this.origin = origins.output;
      this.asksOrigin = false;
      return;
    }
    const fresh = this.asked ? this.traces.takeUnreported(REPORTED) : [];
    if (fresh.length) {
      await tell(connection, JSON.stringify({ shown_s: fresh }));
      return;
    }
    const frames = Math.min(MOST, this.traces.shown.size + MORE);
    const askedMs = performance.now();
    const answer = await ask(named("api/v1/cameras", this.stream, `/latency?frames=${frames}`));
    if (connection !== this.connection) return;
    this.traces.take(answer, this.origin, askedMs, performance.now());
    this.asked += 1;
    this.render();
  }

  get matched() {
    return this.traces.found.length > 0;
  }

  render() {
    const { ways } = this.traces;
    const values = (leg) => ways.map((each) => each[leg]);
    const medians = {};
    for (const row of this.details.querySelectorAll("[data-leg] > td")) {
      const { leg } = row.parentElement.dataset;
      const ms = quantile(values(leg), Number(row.dataset.share));
      if (row.dataset.share === "0.5") medians[leg] = ms;
      row.textContent = Number.isFinite(ms) ? `${number(ms, 0)} ms` : "–";
    }
    $("glass-whole").textContent = this.whole(medians);
    $("glass-note").textContent = this.note(medians);
    this.draw(medians);
  }

  /** Where the sum begins and ends depends on what is known. */
  whole({ camera }) {
    const from = Number.isFinite(camera) ? "Camera" : "Arrival";
    return `${from} to ${this.matched ? "glass" : "sending"}`;
  }

  note({ camera, engine }) {
    if (!Number.isFinite(engine)) return "No frames come.";
    const notes = [];
    if (!Number.isFinite(camera)) {
      notes.push("This camera does not say when it takes frames: its own leg is not counted.");
    }
    if (!this.matched && this.origin !== null && this.asked < PATIENCE) notes.push("Measuring …");
    else if (!this.matched) {
      const way = this.connection?.way ?? "";
      notes.push(`Over ${way} this browser does not tell which frame it shows: this is how long `
        + "frames take until they are sent.");
    }
    return notes.join(" ");
  }

  /** Draws the legs of the last minute on top of each other. */
  draw(medians) {
    this.points.push(LEGS.map((leg) => medians[leg] || 0));
    if (this.points.length > POINTS) this.points.shift();
    const sum = (values) => values.reduce((a, b) => a + b, 0);
    const top = Math.max(LEAST_MS, ...this.points.map(sum));
    const last = Math.max(this.points.length - 1, 1);
    const edge = (upTo) => this.points.map((values, index) => {
      const y = HEIGHT * (1 - sum(values.slice(0, upTo)) / top);
      return `${((index * WIDTH) / last).toFixed(1)},${y.toFixed(1)}`;
    });
    for (const [index, area] of [...$("glass-chart").children].entries()) {
      area.setAttribute("points", [...edge(index + 1), ...edge(index).reverse()].join(" "));
    }
    $("glass-scale").textContent = `The last minute; its height is ${number(top, 0)} ms`;
  }
}

/** Tells the server, for its metrics. */
async function tell({ way, address, send }, text) {
  if (way === "WebSocket") send(text);
  if (way !== "WebRTC") return;
  const headers = { "Content-Type": "application/json" };
  await fetch(`${address}/shown`, { method: "POST", headers, body: text });
}
