"""A folder of numbered images as a source."""

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from streamsr.media.images import image_frames, image_names
from streamsr.media.source import DEFAULT_RATE, Item, Source, SourceInfo

__all__ = ["FolderSource"]


class FolderSource(Source):
    """A folder of numbered PNG frames."""

    def __init__(self, folder: Path, rate: Fraction = DEFAULT_RATE) -> None:
        self.folder = folder
        self.name = str(folder)
        self.rate = rate

    def items(self, stop: threading.Event) -> Iterator[Item]:
        names = tuple(image_names(self.folder))
        for number, frame in enumerate(image_frames(self.folder, self.rate)):
            if number == 0:
                yield SourceInfo(
                    width=frame.width,
                    height=frame.height,
                    rate=self.rate,
                    sample_aspect=Fraction(1),
                    codec="png",
                    pixel_format="rgb24",
                    frames=len(names),
                    names=names,
                )
            if stop.is_set():
                return
            yield frame
