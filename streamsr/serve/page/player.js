// Plays a stream by the way that passes, and never gives up: WebRTC, or else fragments over a
// WebSocket, or else the browser's own HLS. Where WebRTC did not pass it is tried again, seldom.

import { connectFragments } from "./fragments.js";
import { connectPlaylist } from "./playlist.js";
import { named, sleep, socket } from "./server.js";
import { connectWhep } from "./whep.js";

const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 5000;
const PATIENT_MS = 12000; // for WebRTC, where nothing else passes or something plays meanwhile
const QUICK_MS = 2000; // for WebRTC, before something else is tried
const FIRST_AGAIN_MS = 15_000; // until WebRTC is tried again, twice as long each time
const LAST_AGAIN_MS = 600_000;

export class Player {
  /**
   * @param {string} stream its name
   * @param {{after: HTMLVideoElement, before?: HTMLVideoElement, audio?: HTMLAudioElement}} elements
   * @param {{wanted(): boolean, hls(): boolean, playing(what: object): void,
   *   play(e: HTMLMediaElement): void, trouble(text: string, error: Error): void}} listener is asked whether to play
   *   and whether there is HLS, starts an element, and is told what plays (`{way, tracks, audio}`), or
   *   why nothing does
   * @param {{prefer?: string, ice_servers?: object[]}} viewer what the server says to viewers
   */
  constructor(stream, elements, listener, viewer = {}) {
    this.stream = stream;
    this.elements = elements;
    this.listener = listener;
    this.play = (element) => listener.play(element);
    this.iceServers = viewer.ice_servers ?? [];
    this.preferred = viewer.prefer ?? "webrtc";
    this.usual = this.preferred === "hls" ? "WebSocket" : "WebRTC"; // what needs no explanation
    this.sessions = 0; // begun so far
    this.over = null; // ends the present session
    this.alone = false; // whether nothing but WebRTC has passed so far
    this.ended = false;
  }

  /** Plays, and begins again whenever the connection is lost, until `end`. */
  async run() {
    let wait = FIRST_WAIT_MS;
    while (!this.ended) {
      const begun = performance.now();
      try {
        if (this.listener.wanted()) await this.session();
      } catch (error) {
        if (this.ended) break;
        this.listener.trouble(error.message, error);
        wait = error.retryMs ?? wait;
      }
      if (performance.now() - begun > 2 * LAST_WAIT_MS) wait = FIRST_WAIT_MS;
      await sleep(wait * (0.75 + Math.random() / 2));
      wait = Math.min(2 * wait, LAST_WAIT_MS);
    }
  }

  /** Ends the present session; `run` begins another. */
  restart(reason) {
    this.over?.(new Error(reason));
  }

  /** Ends for good. */
  end() {
    this.ended = true;
    this.restart("no longer shown");
  }

  async session() {
    let connection = await this.connect();
    while (connection && !this.ended) connection = await this.hold(connection);
    connection?.close();
  }

  /** The first way that passes. Throws why none does. */
  async connect() {
    const webrtc = () => this.webrtc(this.alone ? PATIENT_MS : QUICK_MS);
    const others = [() => this.fragments(), () => this.playlist()];
    let first;
    for (const way of this.preferred === "hls" ? [...others, webrtc] : [webrtc, ...others]) {
      try {
        const connection = await way();
        this.alone = false;
        return connection;
      } catch (error) {
        if (!error.blocked) throw error;
        first ??= error;
      }
    }
    this.alone = true;
    throw first;
  }

  /** Plays until the connection is lost; returns a better one where there is one meanwhile. */
  async hold(connection) {
    const stop = new AbortController();
    const ended = new Promise((_, reject) => { this.over = reject; });
    try {
      this.attach(connection);
      const ways = [connection.lost, ended];
      if (connection.way !== "WebRTC" && this.preferred !== "hls") ways.push(this.later(stop.signal));
      return await Promise.race(ways);
    } finally {
      this.over = null;
      stop.abort();
      connection.close();
    }
  }

  /** Returns a connection by WebRTC once it passes. */
  async later(signal) {
    for (let wait = FIRST_AGAIN_MS; ; wait = Math.min(2 * wait, LAST_AGAIN_MS)) {
      await anotherNetwork(wait);
      if (signal.aborted) return undefined;
      try {
        const connection = await this.webrtc(PATIENT_MS, signal);
        if (!signal.aborted) return connection;
        connection.close();
      } catch {
        // It does not pass now either: what plays goes on.
      }
    }
  }

  async webrtc(withinMs, signal) {
    const { before, audio } = this.elements;
    const kinds = ["video", ...(before ? ["video"] : []), ...(audio ? ["audio"] : [])];
    const { iceServers } = this;
    const connection = await connectWhep(named("whep", this.stream), { kinds, iceServers, withinMs, signal });
    return { way: "WebRTC", ...connection };
  }

  async fragments() {
    const { after, before } = this.elements;
    const url = socket(named("live", this.stream));
    // The stream need not have its input, and is not kept waiting for it.
    const second = before && connectFragments(`${url}?track=input`, before, this.play);
    second?.catch(() => {});
    const closeSecond = () => second?.then((feed) => feed.close(), () => {});
    try {
      const main = await connectFragments(url, after, this.play);
      const close = () => {
        main.close();
        closeSecond();
      };
      return { way: "WebSocket", audio: main.audio, lost: main.lost, close };
    } catch (error) {
      closeSecond();
      throw error;
    }
  }

  async playlist() {
    if (!this.listener.hls()) throw Object.assign(new Error("there is no HLS"), { blocked: true });
    const url = named("hls", this.stream, "/index.m3u8");
    return { way: "HLS", ...(await connectPlaylist(url, this.elements.after, this.play)) };
  }

  attach(connection) {
    const elements = [this.elements.after, this.elements.before, this.elements.audio].filter(Boolean);
    connection.tracks?.forEach((track, index) => {
      elements[index].srcObject = new MediaStream([track]);
      this.play(elements[index]);
    });
    this.sessions += 1;
    this.listener.playing(connection);
  }
}

/** Waits so long, or until the browser is on another network, where more may pass. */
function anotherNetwork(ms) {
  return Promise.race([
    sleep(ms),
    new Promise((done) => addEventListener("online", done, { once: true })),
  ]);
}
