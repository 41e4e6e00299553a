// Tells of each frame that a video presents.

/** Calls `presented(meta)` for each frame, with what requestVideoFrameCallback says of it. */
export function eachFrame(video, presented) {
  if (!video.requestVideoFrameCallback) {
    lookForFrames(video, presented);
    return;
  }
  const frame = (_, meta) => {
    video.requestVideoFrameCallback(frame);
    presented(meta);
  };
  video.requestVideoFrameCallback(frame);
}

/** For older browsers (Firefox before 132): no time stamp of RTP is known. */
function lookForFrames(video, presented) {
  let before = -1;
  const look = () => {
    requestAnimationFrame(look);
    const mediaTime = video.currentTime;
    if (mediaTime === before || !video.videoWidth) return;
    before = mediaTime;
    presented({ mediaTime, width: video.videoWidth, height: video.videoHeight });
  };
  look();
}
