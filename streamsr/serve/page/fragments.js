// Fragments of MP4 over a WebSocket, played through MediaSource: for where WebRTC does not pass.
//
// The server says the codecs in a text message, sends the initial segment, and then fragments of a
// frame each; where the stream becomes another, a text again. All are in the stream's own time, which
// is the same for a frame of the input and of the output.

const OPEN_MS = 6000; // until the first frame must be there
const BEHIND_S = 1.5; // further behind the newest frame than this, the video jumps
const AIM_S = 0.15; // behind the newest frame
const KEEP_S = 8; // of what was played already
const QUEUE = 256; // fragments that wait; a machine that cannot take more has lost the connection

/**
 * Connects a video to an address, and returns `{audio, lost, close()}` once it has a frame.
 * `play(video)` is called when it has its source.
 *
 * Throws an Error for people. Its `blocked` is true where this way does not pass.
 */
export async function connectFragments(url, video, play) {
  const feed = new Feed(url, video, play);
  try {
    await feed.ready;
  } catch (error) {
    feed.close();
    throw Object.assign(error, { blocked: true });
  }
  return { audio: feed.audio, lost: feed.lost, close: () => feed.close() };
}

/** Where the newest frame of a video is, and how it comes there: faster, or at once. */
export function chase(video, aim) {
  const behind = aim - video.currentTime;
  if (behind > BEHIND_S || behind < -BEHIND_S) video.currentTime = aim;
  video.playbackRate = behind > AIM_S ? 1.08 : behind < -AIM_S ? 0.92 : 1;
}

const kind = (codecs) => ({ codecs, type: `video/mp4; codecs="${codecs}"` });

class Feed {
  constructor(url, video, play) {
    this.video = video;
    this.play = play;
    this.queue = [];
    this.source = null; // once the codecs are known
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
    this.queue.push(typeof data === "string" ? kind(JSON.parse(data).codecs) : data);
    if (this.queue.length > QUEUE) this.lose("this machine is too slow for the stream");
    if (this.source === null) this.begin(this.queue.shift());
    this.append();
  }

  begin({ codecs, type }) {
    const Source = window.ManagedMediaSource ?? window.MediaSource;
    if (!Source?.isTypeSupported(type)) {
      this.lose(`this browser does not play ${codecs}`);
      return;
    }
    this.audio = /mp4a|opus/i.test(codecs);
    this.source = new Source();
    this.video.disableRemotePlayback = true; // ManagedMediaSource asks for it
    this.address = URL.createObjectURL(this.source);
    this.video.srcObject = null;
    this.video.src = this.address;
    this.play(this.video);
    this.source.addEventListener("sourceopen", () => {
      this.buffer = this.source.addSourceBuffer(type);
      this.buffer.addEventListener("updateend", () => this.appended());
      this.buffer.addEventListener("error", () => this.lose("the fragments cannot be decoded"));
      this.append();
    }, { once: true });
  }

  append() {
    const { buffer, queue } = this;
    if (!buffer || buffer.updating || !queue.length || this.closed) return;
    const next = queue.shift();
    try {
      if (next instanceof ArrayBuffer) {
        buffer.appendBuffer(next);
      } else {
        buffer.changeType(next.type); // the stream has become another
        this.append();
      }
    } catch (error) {
      this.lose(`the fragments cannot be played: ${error.name}`);
    }
  }

  appended() {
    const { buffer, video } = this;
    if (this.closed) return;
    const ranges = video.buffered;
    if (ranges.length) {
      const last = ranges.length - 1;
      const newest = ranges.end(last);
      if (video.currentTime < ranges.start(last)) video.currentTime = ranges.start(last); // a gap
      chase(video, newest - AIM_S);
      if (video.currentTime - ranges.start(0) > 2 * KEEP_S) {
        buffer.remove(0, video.currentTime - KEEP_S);
        return; // appends go on once it is removed
      }
    }
    this.append();
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
    if (this.address) URL.revokeObjectURL(this.address);
  }
}
