"""A folder of images as a sink of frames."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from streamsr.core.frame import Frame, Plane
from streamsr.core.settings import OutputSettings
from streamsr.engine.detail import deepened, resized_samples
from streamsr.media.addresses import folder_kind
from streamsr.media.images import Image, ImageWriter, eight_bits, read_samples
from streamsr.media.pixels import rgb_of
from streamsr.media.source import SourceInfo
from streamsr.sources.image_headers import image_header

__all__ = ["FolderSink"]


class FolderSink:
    """A folder of images as a frame sink: named, and of the kind and depth, as those of the folder
    that the frames come from, or numbered PNG."""

    def __init__(
        self,
        folder: Path,
        source: Path | None,
        output: OutputSettings,
        *,
        goes_on: bool = False,
        begin: int = 0,
    ) -> None:
        """``goes_on``: images that are there already stay. ``begin``: how many frames came
        before."""
        kind = "PNG" if source is None else folder_kind(source)
        self._writer = ImageWriter(folder, kind, overwrite=output.overwrite, goes_on=goes_on)
        self._whole = source if output.compare is None else None  # whose images are completed
        self._number = begin
        self.not_kept: list[str] = []  # what images have no place for

    def write(self, frame: Frame, info: SourceInfo) -> None:
        if self._number == 0 and info.carried is not None:
            self.not_kept += info.carried.named
        self._number += 1
        name = info.names[frame.pts] if info.names else f"frame_{self._number:06d}.png"
        whole = frame if self._whole is None else _completed(frame, self._whole / name)
        self._writer.write(whole, name)

    def close(self) -> None:
        """Removes the folder where no frame came; every file in it is whole already."""
        if self._number == 0:
            with suppress(OSError):  # it holds something else
                self._writer.folder.rmdir()


def _completed(frame: Frame, path: Path) -> Frame | Image:
    """Returns an upscaled frame with what the image at ``path``, which it was made of, has beyond
    R'G'B' in 8 bits."""
    header = image_header(path)
    if header.is_plain:
        return frame
    image, made = read_samples(path, alpha=header.alpha), rgb_of(frame)
    colour: Plane = made
    if image.colour.dtype == np.uint16:
        colour = deepened(made, image.colour, eight_bits(image.colour))
    alpha = image.alpha
    if alpha is not None:
        alpha = resized_samples(alpha, frame.width, frame.height)
    return Image(colour, alpha, header.grey, header.lossless)
