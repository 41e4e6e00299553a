// HLS as the browser itself plays it: what iPhones have where WebRTC does not pass.

const TYPE = "application/vnd.apple.mpegurl";
const OPEN_MS = 12000; // until the first frame must be there: a playlist begins with a whole segment

/** Like `connectFragments`. Whether there is audio is not known: it is taken to be there. */
export async function connectPlaylist(url, video, { play, signal: stopped }) {
  stopped?.throwIfAborted();
  const refused = (text) => Object.assign(new Error(text), { blocked: true });
  if (!video.canPlayType(TYPE)) throw refused("this browser does not play HLS");
  const listening = new AbortController();
  const { signal } = listening;
  const close = () => {
    if (signal.aborted) return; // the video may play something else by now
    listening.abort();
    video.removeAttribute("src");
    video.load();
  };
  const lost = new Promise((_, reject) => {
    for (const event of ["error", "ended"]) {
      video.addEventListener(event, () => reject(refused("HLS has ended")), { signal });
    }
    stopped?.addEventListener("abort", () => reject(refused("given up")), { signal });
  });
  lost.catch(close);
  video.srcObject = null;
  video.src = url;
  play(video);
  let timer;
  const loaded = new Promise((done, failed) => {
    video.addEventListener("loadeddata", done, { signal });
    timer = setTimeout(() => failed(refused("no frame came over HLS")), OPEN_MS);
  });
  try {
    await Promise.race([lost, loaded]);
  } catch (error) {
    close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return { audio: true, lost, close };
}
