// What the page says: the stream's status once a second, and the connection's troubles.

import { named, poll } from "./server.js";
import { $, fallback, headline, measure, output, reason, size, sizes, state, WORDS } from "./words.js";

const OVER = ["ended", "disabled"];

export class Panel {
  /** `latency` is given each second's measures; `video` tells whether it is `shown` and `moving`. */
  constructor(stream, latency, video) {
    this.stream = stream;
    this.latency = latency;
    this.video = video;
    this.status = undefined; // the newest answer
    this.unanswered = ""; // why the newest question was not answered, for people
    this.trouble = ""; // with the connection, for people; "" when there is none
    this.note = ""; // about how the stream comes, for people
    this.tap = false; // whether the browser waits for a tap
  }

  run() {
    poll(
      named("api/streams", this.stream),
      (status) => this.update({ status, unanswered: "" }),
      (error) => this.update({ unanswered: error.message }),
    );
  }

  /** Takes new values of the fields above, and shows them. */
  update(changes) {
    Object.assign(this, changes);
    if (changes.status) this.show(changes.status);
    if ("unanswered" in changes) this.latency.add(this.measures);
    this.render();
  }

  /** The newest answer's latency, of a stream that is live. */
  get measures() {
    if (this.unanswered || this.status?.state !== "live") return null;
    return { p50: this.status.latency_p50_ms, p99: this.status.latency_p99_ms };
  }

  get over() {
    return OVER.includes(this.status?.state);
  }

  show(status) {
    $("model").textContent = status.model || "–";
    $("device").textContent = status.device;
    $("input").textContent = size(status.input);
    $("output").textContent = size(status.output);
    $("size").textContent = sizes(status);
    $("fallback").textContent = fallback(status);
    $("outputs").replaceChildren(...status.outputs.map(item));
    $("hls").href = named("hls", this.stream, "/index.m3u8");
    $("hls").hidden = !status.hls;
    if (status.aspect > 0) $("stage").style.setProperty("--aspect", status.aspect);
  }

  render() {
    const { status } = this;
    if (!status && !this.trouble && !this.unanswered) return; // not asked yet
    const now = this.lost ? "lost" : status?.state ?? "live";
    $("state").dataset.state = now;
    $("stage").dataset.state = now;
    $("state").textContent = WORDS[now] ?? state(status);
    this.banner(now);
    const answered = this.unanswered ? undefined : status;
    $("fps").textContent = measure(answered, "fps", 1);
    $("p50").textContent = measure(answered, "latency_p50_ms", 0);
    $("p99").textContent = measure(answered, "latency_p99_ms", 0);
  }

  /** Whether there is neither video nor an answer. A video that moves is well, whoever is silent. */
  get lost() {
    if (this.trouble && !this.over) return true;
    return Boolean(this.unanswered) && !this.video.moving;
  }

  banner(now) {
    const why = this.status ? reason(this.status) : "";
    let [text, detail] = this.status ? [headline(this.status, this.video.shown), why] : ["", ""];
    if (this.tap && !text) [text, detail] = ["Tap to play", "This browser does not play by itself"];
    if (now === "lost") [text, detail] = [`Trying again: ${this.trouble || this.unanswered}`, ""];
    $("headline").textContent = text;
    $("reason").textContent = detail;
    $("banner").hidden = !text;
    $("play").hidden = !this.tap || now === "lost";
    const unanswered = this.unanswered && !this.lost ? `No news of its state: ${this.unanswered}` : "";
    $("message").textContent = [this.note, unanswered, text ? "" : why].filter(Boolean).join(" · ");
  }
}

/** One output: its name, its state and what is wrong with it. */
function item(status) {
  const element = document.createElement("li");
  element.className = "state";
  element.dataset.state = status.state;
  element.title = status.target;
  element.textContent = output(status);
  return element;
}
