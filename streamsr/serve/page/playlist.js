// HLS as the browser itself plays it: what iPhones have where WebRTC does not pass.

const TYPE = "application/vnd.apple.mpegurl";
const OPEN_MS = 12000; // until the first frame must be there: a playlist begins with a whole segment

/** Like `connectFragments`. Whether there is audio is not known: it is taken to be there. */
export async function connectPlaylist(url, video, play) {
  const refused = (text) => Object.assign(new Error(text), { blocked: true });
  if (!video.canPlayType(TYPE)) throw refused("this browser does not play HLS");
  const listening = new AbortController();
  const { signal } = listening;
  const close = () => {
    listening.abort();
    video.removeAttribute("src");
    video.load();
  };
  const lost = new Promise((_, reject) => {
    for (const event of ["error", "ended"]) {
      video.addEventListener(event, () => reject(refused("HLS has ended")), { signal });
    }
  });
  lost.catch(() => {}); // it may be over before anyone waits for it
  video.srcObject = null;
  video.src = url;
  play(video);
  try {
    await Promise.race([lost, new Promise((done, failed) => {
      video.addEventListener("loadeddata", done, { signal });
      setTimeout(() => failed(refused("no frame came over HLS")), OPEN_MS);
    })]);
  } catch (error) {
    close();
    throw error;
  }
  return { audio: true, lost, close };
}
