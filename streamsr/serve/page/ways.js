// The ways by which a stream comes. Each returns `{way, lost, close(), audio?, tracks?, address?, send?(text)}` once it passes,
// or throws an Error for people, whose `blocked` is true where another way may do. With `signal`
// aborted it is given up, and leaves the elements free at once.

import { connectFragments } from "./fragments.js";
import { connectPlaylist } from "./playlist.js";
import { named, socket } from "./server.js";
import { connectWhep } from "./whep.js";

const NEVER = new Promise(() => {});

/** `elements` are `{after, before?, audio?}`, as for all ways. */
export async function byWebRTC(stream, elements, { iceServers, withinMs, signal }) {
  const { before, audio } = elements;
  const kinds = ["video", ...(before ? ["video"] : []), ...(audio ? ["audio"] : [])];
  const options = { kinds, iceServers, withinMs, signal };
  return { way: "WebRTC", ...(await connectWhep(named("whep", stream), options)) };
}

/** `play(element)` starts one that has its source. */
export async function bySocket(stream, { after, before }, { play, signal }) {
  const url = socket(named("live", stream));
  // The stream need not have its input, and is not kept waiting for it.
  const second = before
    && connectFragments(`${url}?track=input`, before, { play, signal, leader: after });
  second?.catch(() => {});
  const closeSecond = () => second?.then((feed) => feed.close(), () => {});
  try {
    const main = await connectFragments(url, after, { play, signal });
    const close = () => {
      main.close();
      closeSecond();
    };
    const lost = Promise.race([main.lost, second?.then((feed) => feed.lost, () => NEVER) ?? NEVER]);
    return { ...main, way: "WebSocket", lost, close };
  } catch (error) {
    closeSecond();
    throw error;
  }
}

export async function byPlaylist(stream, { after }, { play, signal }) {
  const url = named("hls", stream, "/index.m3u8");
  return { way: "HLS", ...(await connectPlaylist(url, after, { play, signal })) };
}
