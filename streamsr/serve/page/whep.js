// One session of a WHEP client (draft-ietf-wish-whep): from an offer to its end.

import { refusal } from "./server.js";

const LOST_MS = 3000; // WebRTC's "disconnected" may heal by itself; after this it has not

/**
 * Connects, and returns `{tracks, address, lost, close()}`: the tracks in the order of `kinds`, the
 * session's address, and a promise that is rejected when the session is over.
 *
 * Throws an Error for people. Its `blocked` is true where the server would, but WebRTC does not pass
 * within `withinMs`.
 */
export async function connectWhep(url, { kinds, iceServers, withinMs, signal }) {
  if (!window.RTCPeerConnection) throw blocked("this browser has no WebRTC");
  const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers });
  const session = new Session(peer);
  try {
    const receivers = kinds.map((kind) => {
      const transceiver = peer.addTransceiver(kind, { direction: "recvonly" });
      offerLess(transceiver, kind);
      return transceiver.receiver;
    });
    for (const receiver of receivers) {
      if (receiver.track.kind === "video" && "jitterBufferTarget" in receiver) {
        receiver.jitterBufferTarget = 0;
      }
    }
    await within(session.begin(url), withinMs, signal);
    return {
      tracks: receivers.map((receiver) => receiver.track),
      address: session.location?.href,
      lost: session.lost,
      close: () => session.close(),
    };
  } catch (error) {
    session.close();
    throw error;
  }
}

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

function blocked(text) {
  const error = new Error(text);
  error.blocked = true;
  return error;
}

/** Waits for a session to connect, or throws that WebRTC does not pass. */
function within(begun, ms, signal) {
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(blocked("WebRTC does not pass")), ms);
    signal?.addEventListener("abort", () => failed(new Error("given up")));
    begun.then(done, failed).finally(() => clearTimeout(timer));
  });
}

class Session {
  constructor(peer) {
    this.peer = peer;
    this.location = null; // at the server, once it has answered
    this.closed = false;
    this.leaving = () => this.leave();
    this.lost = new Promise((_, reject) => {
      this.lose = (text) => reject(new Error(text));
    });
    this.lost.catch(() => {}); // it may be over before anyone waits for it
    addEventListener("pagehide", this.leaving);
  }

  async begin(url) {
    const { peer } = this;
    const offer = await peer.createOffer();
    // Without this Chromium decodes Opus to one channel.
    offer.sdp = offer.sdp.replaceAll("useinbandfec=1", "useinbandfec=1;stereo=1");
    await peer.setLocalDescription(offer);
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: offer.sdp,
      signal: AbortSignal.timeout(10000),
    });
    if (response.status === 406) throw blocked(await response.text()); // no codec in common
    if (response.status !== 201) throw await refusal(response);
    this.location = new URL(response.headers.get("Location"), response.url);
    const text = await response.text();
    if (this.closed) {
      this.leave(); // given up while the server was answering
      return;
    }
    await peer.setRemoteDescription({ type: "answer", sdp: text });
    await this.connected();
    this.watch();
  }

  connected() {
    const { peer } = this;
    return new Promise((done, failed) => {
      const look = () => {
        if (peer.connectionState === "connected") done();
        if (peer.connectionState === "failed") failed(blocked("WebRTC does not pass"));
      };
      peer.addEventListener("connectionstatechange", look);
      look();
    });
  }

  watch() {
    const { peer } = this;
    let timer = 0;
    peer.addEventListener("connectionstatechange", () => {
      clearTimeout(timer);
      if (peer.connectionState === "failed") this.lose("the connection was lost");
      if (peer.connectionState === "disconnected") {
        timer = setTimeout(() => this.lose("the connection was lost"), LOST_MS);
      }
    });
    // That the server ended the session shows here only; it need not be told then.
    const transport = peer.getReceivers()[0].transport;
    const ended = () => {
      if (transport.state !== "closed") return;
      this.location = null;
      this.lose("the server ended the session");
    };
    transport?.addEventListener("statechange", ended);
    if (transport) ended();
  }

  close() {
    this.closed = true;
    removeEventListener("pagehide", this.leaving);
    this.peer.close();
    this.leave();
  }

  /** Tells the server that the session is over. */
  leave() {
    if (!this.location) return;
    const location = this.location;
    this.location = null;
    // A server that cannot be told frees the session by itself.
    fetch(location, { method: "DELETE", keepalive: true }).catch(() => {});
  }
}
