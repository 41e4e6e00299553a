// Fragments of MP4 over a WebSocket, played through MediaSource: for where WebRTC does not pass.
//
// The server says the codecs in a text message, sends the initial segment, and then fragments of a
// frame each; where the stream becomes another, all of it again. All are in the stream's own time,
// which is the same for a frame of the input and of the output.

const OPEN_MS = 6000; // until the first frame must be there
const AIM_S = 0.15; // behind the newest frame
const LEAD_S = 0.1; // that a video runs ahead of the one that it goes along with
const KEEP_S = 8; // of what was played already
const QUEUE = 256; // fragments that wait; a machine that cannot take more has lost the connection

/**
 * Connects a video to an address, and returns `{audio, lost, send(text), close()}` once it has a frame.
 * `play(video)` is called when it has its source; `leader` is a video that it goes along with.
 *
 * Throws an Error for people. Its `blocked` is true where this way does not pass.
 */
export async function connectFragments(url, video, { play, signal, leader }) {
  signal?.throwIfAborted();
  const feed = new Feed(url, video, play, leader);
  const giveUp = () => {
    feed.close();
    feed.lose("given up");
  };
  signal?.addEventListener("abort", giveUp);
  try {
    await feed.ready;
  } catch (error) {
    feed.close();
    throw Object.assign(error, { blocked: true });
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
  return { audio: feed.audio, lost: feed.lost, send: (text) => feed.send(text), close: () => feed.close() };
}

/** Brings a video to a time: faster, or where it is far from it at once. */
function chase(video, aim, within) {
  const behind = aim - video.currentTime;
  if (Math.abs(behind) > 10 * within) video.currentTime = aim;
  video.playbackRate = behind > within ? 1.08 : behind < -within ? 0.92 : 1;
}

class Feed {
  constructor(url, video, play, leader) {
    this.video = video;
    this.leader = leader;
    this.play = play;
    this.queue = [];
    this.address = ""; // of the source, once the codecs are known
    this.buffer = null; // once the source is open
    this.audio = false;
    this.lost = new Promise((_, reject) => {
      this.lose = (text) => reject(new Error(text));
    });
    this.lost.catch(() => {}); // it may be over before anyone waits for it
    this.ready = Promise.race([this.firstFrame(), this.lost, this.tooLate()]);
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("message", ({ data }) => this.take(data));
    this.socket.addEventListener("close", ({ reason }) => this.lose(reason || "the connection was lost"));
  }

  firstFrame() {
    return new Promise((done) => {
      this.loaded = done;
      this.video.addEventListener("loadeddata", done);
    });
  }

  tooLate() {
    return new Promise((_, reject) => {
      this.timer = setTimeout(() => reject(new Error("no frame came over the WebSocket")), OPEN_MS);
    });
  }

  take(data) {
    if (typeof data === "string") {
      this.begin(JSON.parse(data).codecs);
      return;
    }
    this.queue.push(data);
    if (this.queue.length > QUEUE) this.lose("this machine is too slow for the stream");
    this.append();
  }

  /** Begins from scratch: a buffer does not take a segment that has other tracks than its first. */
  begin(codecs) {
    const Source = window.ManagedMediaSource ?? window.MediaSource;
    const type = `video/mp4; codecs="${codecs}"`;
    if (!Source?.isTypeSupported(type)) {
      this.lose(`this browser does not play ${codecs}`);
      return;
    }
    this.forget();
    this.audio = /mp4a|opus/i.test(codecs);
    const source = new Source();
    this.video.disableRemotePlayback = true; // ManagedMediaSource asks for it
    this.address = URL.createObjectURL(source);
    this.video.srcObject = null;
    this.video.src = this.address;
    this.play(this.video);
    source.addEventListener("sourceopen", () => {
      if (this.video.src !== this.address || source.readyState !== "open") return; // begun again
      const buffer = source.addSourceBuffer(type);
      buffer.addEventListener("updateend", () => this.appended(buffer));
      buffer.addEventListener("error", () => this.refused(buffer));
      this.buffer = buffer;
      this.append();
    }, { once: true });
  }

  refused(buffer) {
    if (buffer === this.buffer) this.lose("the fragments cannot be decoded");
  }

  append() {
    const { buffer, queue } = this;
    if (!buffer || buffer.updating || !queue.length || this.closed) return;
    try {
      buffer.appendBuffer(queue.shift());
    } catch (error) {
      this.lose(`the fragments cannot be played: ${error.name}`);
    }
  }

  appended(buffer) {
    const { video } = this;
    if (this.closed || buffer !== this.buffer) return;
    const ranges = video.buffered;
    if (ranges.length) {
      const last = ranges.length - 1;
      const newest = ranges.end(last);
      if (video.currentTime < ranges.start(last)) video.currentTime = ranges.start(last); // a gap
      this.chase(newest);
      if (video.currentTime - ranges.start(0) > 2 * KEEP_S) {
        buffer.remove(0, video.currentTime - KEEP_S);
        return; // appends go on once it is removed
      }
    }
    this.append();
  }

  chase(newest) {
    const { leader, video } = this;
    if (leader?.buffered.length) chase(video, Math.min(newest, leader.currentTime + LEAD_S), LEAD_S / 2);
    else chase(video, newest - AIM_S, AIM_S);
  }

  send(text) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  forget() {
    this.queue = [];
    this.buffer = null;
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = "";
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close();
    this.video.removeEventListener("loadeddata", this.loaded);
    this.video.playbackRate = 1;
    if (this.address && this.video.src === this.address) {
      this.video.removeAttribute("src");
      this.video.load();
    }
    this.forget();
  }
}
