// Plays a stream by the way that passes, and never gives up: WebRTC, or else fragments over a
// WebSocket, or else the browser's own HLS. Where WebRTC did not pass it is tried again, seldom.

import { sleep } from "./server.js";
import { byPlaylist, bySocket, byWebRTC } from "./ways.js";

const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 5000;
const PATIENT_MS = 12000; // for WebRTC, where nothing else passes or something plays meanwhile
const QUICK_MS = 2000; // for WebRTC, before something else plays
const HEAD_START_MS = 1000; // of WebRTC, before something else connects
const FIRST_AGAIN_MS = 15_000; // until WebRTC is tried again, twice as long each time
const LAST_AGAIN_MS = 600_000;

export class Player {
  /**
   * @param {string} stream its name
   * @param {{after: HTMLVideoElement, before?: HTMLVideoElement, audio?: HTMLAudioElement}} elements
   * @param {{wanted(): boolean, hls(): boolean, playing(what: object): void,
   *   play(e: HTMLMediaElement): void, trouble(text: string, error: Error): void}} listener is asked
   *   whether to play and whether there is HLS, starts an element, and is told what plays
   *   (`{way, tracks, audio}`), or why nothing does
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

  /** The way that passes. Throws why none does. */
  async connect() {
    if (this.preferred === "hls") return this.otherwise().catch(() => this.webrtc(PATIENT_MS));
    const stop = new AbortController();
    const webrtc = this.webrtc(this.alone ? PATIENT_MS : QUICK_MS, stop.signal);
    // What comes next is got ready while WebRTC may still pass.
    const early = Promise.race([sleep(HEAD_START_MS), webrtc.catch(() => {})]);
    const other = early.then(() => this.otherwise(stop.signal));
    other.catch(() => {});
    let blocked;
    try {
      const connection = await webrtc;
      this.alone = false;
      stop.abort();
      return connection;
    } catch (error) {
      if (!error.blocked) {
        stop.abort();
        throw error;
      }
      blocked = error;
    }
    this.alone = await other.then(() => false, () => true);
    if (this.alone) throw blocked;
    return other;
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

  webrtc(withinMs, signal) {
    return byWebRTC(this.stream, this.elements, { iceServers: this.iceServers, withinMs, signal });
  }

  /** What there is beside WebRTC. */
  async otherwise(signal) {
    const options = { play: this.play, signal };
    try {
      return await bySocket(this.stream, this.elements, options);
    } catch (error) {
      if (signal?.aborted || !this.listener.hls()) throw error;
      return await byPlaylist(this.stream, this.elements, options);
    }
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
