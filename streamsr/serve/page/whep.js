// A WHEP client (draft-ietf-wish-whep) that never gives up.

import { sleep } from "./common.js";

const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 5000;
const LOST_MS = 3000; // WebRTC's "disconnected" may heal by itself; after this it has not

/**
 * Offers the codecs alone that the server sends: an offer of them all, 11 kB, is more than proxies
 * hold in memory (nginx: 8 kB), and some cannot write it to a disk.
 */
function offerLess(transceiver, kind) {
  const { codecs } = RTCRtpReceiver.getCapabilities?.(kind) ?? { codecs: [] };
  const sent = codecs.filter(({ mimeType, sdpFmtpLine = "" }) => /\/(rtx|opus)$/i.test(mimeType)
    || (/\/h264$/i.test(mimeType) && sdpFmtpLine.includes("packetization-mode=1")));
  try {
    if (sent.length) transceiver.setCodecPreferences(sent);
  } catch {
    // An older browser offers all it has.
  }
}

export class Whep {
  /**
   * @param {string} url endpoint of the stream
   * @param {{wanted(): boolean, tracks(t: MediaStreamTrack[]): void, trouble(text: string): void}}
   *   listener is asked whether to begin, and told of the tracks (output, input, audio) or why not
   */
  constructor(url, listener) {
    this.url = url;
    this.listener = listener;
    this.sessions = 0; // begun so far
    this.over = null; // ends the present session
    this.location = null; // of the present session at the server
    addEventListener("pagehide", () => this.leave());
  }

  /** Plays, and begins again whenever the connection is lost. Never returns. */
  async run() {
    let wait = FIRST_WAIT_MS;
    for (;;) {
      const begun = performance.now();
      try {
        if (this.listener.wanted()) await this.session();
      } catch (error) {
        this.listener.trouble(error.message);
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

  async session() {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    try {
      const receivers = ["video", "video", "audio"].map((kind) => {
        const transceiver = peer.addTransceiver(kind, { direction: "recvonly" });
        offerLess(transceiver, kind);
        return transceiver.receiver;
      });
      for (const receiver of receivers.slice(0, 2)) {
        if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      }
      await this.negotiate(peer);
      const lost = new Promise((_, reject) => {
        this.over = reject;
        this.watch(peer, reject);
      });
      this.sessions += 1;
      this.listener.tracks(receivers.map((receiver) => receiver.track));
      await lost;
    } finally {
      this.over = null;
      peer.close();
      this.leave();
    }
  }

  async negotiate(peer) {
    const offer = await peer.createOffer();
    // Without this Chromium decodes Opus to one channel.
    offer.sdp = offer.sdp.replaceAll("useinbandfec=1", "useinbandfec=1;stereo=1");
    await peer.setLocalDescription(offer);
    const response = await fetch(this.url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: offer.sdp,
      signal: AbortSignal.timeout(10000),
    });
    const text = await response.text();
    if (response.status !== 201) {
      const error = new Error(text || response.statusText);
      const retryS = Number(response.headers.get("Retry-After"));
      if (retryS > 0) error.retryMs = retryS * 1000;
      throw error;
    }
    this.location = new URL(response.headers.get("Location"), response.url);
    await peer.setRemoteDescription({ type: "answer", sdp: text });
  }

  watch(peer, reject) {
    const lose = () => reject(new Error("the connection was lost"));
    let timer = 0;
    peer.addEventListener("connectionstatechange", () => {
      clearTimeout(timer);
      if (peer.connectionState === "failed") lose();
      if (peer.connectionState === "disconnected") timer = setTimeout(lose, LOST_MS);
    });
    // That the server ended the session shows here only; it need not be told then.
    const transport = peer.getReceivers()[0].transport;
    transport?.addEventListener("statechange", () => {
      if (transport.state !== "closed") return;
      this.location = null;
      reject(new Error("the server ended the session"));
    });
  }

  /** Tells the server that the present session is over. */
  leave() {
    if (!this.location) return;
    const location = this.location;
    this.location = null;
    // A server that cannot be told frees the session by itself.
    fetch(location, { method: "DELETE", keepalive: true }).catch(() => {});
  }
}
