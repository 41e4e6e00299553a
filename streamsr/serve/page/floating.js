// Picture in picture: the upscaled video in a window of its own, above other programs.

export const canFloat = (video) =>
  document.pictureInPictureEnabled
  || video.webkitSupportsPresentationMode?.("picture-in-picture")
  || false;

/** Begins or ends it. A browser that refuses leaves everything as it is. */
export async function float(video) {
  try {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else if (video.requestPictureInPicture) await video.requestPictureInPicture();
    else video.webkitSetPresentationMode("picture-in-picture");
  } catch {
    // It has no frame yet.
  }
}
