// What the page says: the stream's status once a second, and the connection's troubles.

import { $, measure, named, poll, size, sizes, fallback, WORDS } from "./common.js";

const BANNERS = {
  starting: "Waiting for the first picture",
  down: "The source is away: this is its last picture",
  ended: "This stream has ended",
  disabled: "This stream is switched off",
};

export class Panel {
  constructor(stream) {
    this.stream = stream;
    this.status = undefined; // the newest answer; null when there was none
    this.trouble = ""; // with the connection, for people; "" when there is none
  }

  run() {
    poll(named("api/streams", this.stream), (status) => this.update(status), () => this.update(null));
  }

  update(status) {
    this.status = status;
    if (status) this.show(status);
    this.render();
  }

  setTrouble(text) {
    this.trouble = text;
    this.render();
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
    if (this.status === undefined && !this.trouble) return; // not asked yet
    const over = ["ended", "disabled"].includes(this.status?.state);
    const lost = !this.status || (this.trouble && !over);
    const state = lost ? "lost" : this.status.state;
    $("state").dataset.state = state;
    $("stage").dataset.state = state;
    $("state").textContent = WORDS[state] ?? state;
    const banner = state === "lost" ? this.lost() : BANNERS[state] ?? "";
    $("banner").textContent = banner;
    $("banner").hidden = !banner;
    $("message").textContent = this.status?.message ?? "";
    $("fps").textContent = measure(this.status, "fps", 1);
    $("p50").textContent = measure(this.status, "latency_p50_ms", 0);
    $("p99").textContent = measure(this.status, "latency_p99_ms", 0);
  }

  lost() {
    const why = this.trouble || "the server does not answer";
    return `Trying again: ${why}`;
  }
}

/** One output: its target and its state. */
function item(output) {
  const element = document.createElement("li");
  element.className = "state";
  element.dataset.state = output.state;
  element.title = output.target;
  const text = { ...WORDS, down: "away, trying again" }[output.state] ?? output.state;
  const dropped = output.dropped ? `, ${output.dropped} packets dropped` : "";
  element.textContent = `${output.name}: ${text}${dropped}`;
  return element;
}
