"""A model for the images of one stream."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from streamsr.core.devices import pick_device
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.engine.engines import Engines
from streamsr.zoo.registry import find

__all__ = ["Upscaler"]

SRGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)

Image = NDArray[np.uint8]


class Upscaler(AbstractContextManager["Upscaler"]):
    """A loaded model for the images of one stream.

    Images are (h, w, 3) uint8 R'G'B'; each comes out once, in order, as (scale*h, scale*w, 3).
    Leaving the context ends its threads. Raises ModelError or UserError for what there is not.
    """

    def __init__(
        self, model: str = "fast", *, device: str = "auto", folders: Iterable[Path] = ()
    ) -> None:
        self.device = torch.device(pick_device(device))
        self.entry = find(model, tuple(folders))
        self._engines = Engines(self.device)
        try:
            engine = self._engines.load(self.entry)
        except BaseException:
            self._engines.close()
            raise
        self._stream = engine.stream("library", Meter(), lambda event: None)
        self._pushed = 0

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def lookahead(self) -> int:
        """How many images one waits for before it comes out."""
        return self.entry.facts.lookahead

    def push(self, image: Image) -> list[Image]:
        """Takes the next image; returns those that it completes, oldest first."""
        frame = Frame(
            (image,), SRGB, self._pushed, Fraction(1, 25), discontinuous=self._pushed == 0
        )
        self._pushed += 1
        return _images(self._stream.push(frame))

    def flush(self) -> list[Image]:
        """Ends the stream; returns the images still pending. The next push begins another one."""
        self._pushed = 0
        return _images(self._stream.flush())

    def upscale(self, images: Iterable[Image]) -> Iterator[Image]:
        """Upscales a whole clip."""
        for image in images:
            yield from self.push(image)
        yield from self.flush()

    def close(self) -> None:
        """Ends the engine's threads. Closing twice does nothing."""
        self._engines.close()


def _images(completed: Iterable[Future[Frame]]) -> list[Image]:
    return [future.result().planes[0] for future in completed]
