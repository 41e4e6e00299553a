// What the page says: the stream's status once a second, and the connection's troubles.

const POLL_MS = 1000;
const $ = (id) => document.getElementById(id);
const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const size = (text) => text.replace("x", "\u2009×\u2009");

const BANNERS = {
  starting: "Waiting for the first picture",
  down: "The source is away: this is its last picture",
  ended: "This stream has ended",
};
const WORDS = { starting: "starting", live: "live", down: "source away", ended: "ended", lost: "not connected" };

export class Panel {
  constructor(stream, headers) {
    this.stream = stream;
    this.headers = headers;
    this.status = undefined; // the newest answer; null when there was none
    this.trouble = ""; // with the connection, for people; "" when there is none
  }

  /** Poll the status for as long as the page is open. */
  async run() {
    for (;;) {
      try {
        this.show(await this.fetch());
      } catch {
        this.status = null;
        this.render();
      }
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  }

  async fetch() {
    const response = await fetch(`/api/streams/${encodeURIComponent(this.stream)}`, {
      headers: this.headers(),
      signal: AbortSignal.timeout(4000),
    });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }

  setTrouble(text) {
    this.trouble = text;
    this.render();
  }

  show(status) {
    this.status = status;
    $("fps").textContent = number(status.fps, 1);
    $("p50").textContent = number(status.latency_p50_ms, 0);
    $("p99").textContent = number(status.latency_p99_ms, 0);
    $("model").textContent = status.model || "–";
    $("device").textContent = status.device;
    $("input").textContent = size(status.input);
    $("output").textContent = size(status.output);
    $("size").textContent = status.input && status.output
      ? `${size(status.input)} → ${size(status.output)}` : "–";
    if (status.aspect > 0) $("stage").style.setProperty("--aspect", status.aspect);
    this.render();
  }

  render() {
    if (this.status === undefined && !this.trouble) return; // not asked yet
    const ended = this.status?.state === "ended";
    const lost = !this.status || (this.trouble && !ended);
    const state = lost ? "lost" : this.status.state;
    $("state").dataset.state = state;
    $("stage").dataset.state = state;
    $("state").textContent = WORDS[state] ?? state;
    const banner = state === "lost" ? this.lost() : BANNERS[state] ?? "";
    $("banner").textContent = banner;
    $("banner").hidden = !banner;
    $("message").textContent = this.status?.message ?? "";
  }

  lost() {
    const why = this.trouble || "the server does not answer";
    return `Trying again: ${why}`;
  }
}
