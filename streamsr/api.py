"""streamsr in a program of one's own: frames in, frames out, or a whole pipeline."""

from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from streamsr.core.closing import Closing
from streamsr.core.config import parse
from streamsr.core.devices import pick_device
from streamsr.core.events import Emit, Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import PipelineSettings
from streamsr.engine.engines import Engines
from streamsr.pipeline import build
from streamsr.pipeline.pipeline import Pipeline
from streamsr.zoo.loading import choose

__all__ = ["Upscaler", "open_pipeline"]

RGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)  # sRGB

Picture = NDArray[np.uint8]


class Upscaler(Closing):
    """A loaded model for the frames of one stream.

    Pictures are (h, w, 3) uint8 R'G'B'; each comes out once, in order, as (scale*h, scale*w, 3).
    ``with`` it: leaving ends its threads. Raises ModelError or UserError for what there is not.
    """

    def __init__(
        self, model: str = "fast", *, device: str = "auto", folders: Iterable[Path] = ()
    ) -> None:
        self.device = torch.device(pick_device(device))
        self.entry = choose(self.device, model, tuple(folders))
        self._engines = Engines(self.device)
        try:
            engine = self._engines.load(self.entry)
        except BaseException:
            self._engines.close()
            raise
        self._stream = engine.stream("library", Meter(), _ignore)
        self._pushed = 0

    @property
    def lookahead(self) -> int:
        """How many frames a picture waits for before it comes out."""
        return self.entry.facts.lookahead

    def push(self, picture: Picture) -> list[Picture]:
        """Take the next picture; give those that are finished by it, oldest first."""
        frame = Frame(
            (picture,), RGB, self._pushed, Fraction(1, 25), discontinuous=self._pushed == 0
        )
        self._pushed += 1
        return _pictures(self._stream.push(frame))

    def flush(self) -> list[Picture]:
        """End the stream: give the pictures that still waited. The next push starts anew."""
        self._pushed = 0
        return _pictures(self._stream.flush())

    def upscale(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Upscale a whole clip."""
        for picture in pictures:
            yield from self.push(picture)
        yield from self.flush()

    def close(self) -> None:
        """End the engine's threads."""
        self._engines.close()


@asynccontextmanager
async def open_pipeline(
    settings: PipelineSettings | dict[str, object], emit: Emit | None = None
) -> AsyncIterator[Pipeline]:
    """A whole pipeline in this process: ``await`` its ``run()``; its outputs are the settings'.

    ``settings`` are those of a pipeline file, as ``pipelines/reference.toml`` shows them. Raises
    ConfigError, InputError, ModelError or OutputError.
    """
    if isinstance(settings, dict):
        settings = parse(settings, PipelineSettings, "settings")
    with build.open_pipeline(settings, emit or _ignore) as opened:
        yield opened


def _pictures(finished: Iterable[Future[Frame]]) -> list[Picture]:
    return [future.result().planes[0] for future in finished]


def _ignore(event: Event) -> None:
    """Whoever wants to hear of events passes ``emit``."""
