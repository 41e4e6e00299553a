"""Scoring models on ground truth as the super-resolution papers do, always beside bicubic.

A frame is 8-bit R'G'B', shrunk by antialiased bicubic, quantised, upscaled frame by frame as
``upscale`` does it, and compared in BT.601 luma with no border left out. Under ``camera`` it is
4:2:0, shrunk and coded in H.264 at several rates, and compared in the clip's own luma. Only the
frames that a window holds, and those an encoder waits for, are in memory.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil, lcm
from pathlib import Path

import torch

from streamsr.core.errors import InputError, ModelError
from streamsr.core.frame import Frame
from streamsr.media.files import file_items
from streamsr.media.pixels import SRGB
from streamsr.media.source import SourceInfo
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.train.degrade import CAMERAS, degraded
from streamsr.train.files import target_paths
from streamsr.train.frames import degrade_bicubic, fitted, levels, pixels_of
from streamsr.train.results import ClipScores, Degradation, Evaluation
from streamsr.train.scoring import ClipScorer, Truth, cost_of
from streamsr.zoo.loading import load_model, make_network
from streamsr.zoo.registry import Entry

__all__ = ["Scored", "evaluate"]

SSIM_SIDE = 11  # pixels: the window of the structural similarity


@dataclass(frozen=True, slots=True)
class Scored:
    """How far an evaluation has come, once a frame."""

    clip: str
    frame: int  # frames of the clip read so far
    frames: int | None  # in the whole of it, as far as known


Pair = tuple[Frame, Truth]
"""What a model sees, and what it is compared with."""


def evaluate(
    target: Path,
    entry: Entry,
    device: torch.device,
    *,
    against: Sequence[Entry] = (),
    degrade: Degradation = Degradation.BICUBIC,
    max_frames: int | None = None,
    report: Callable[[Scored], None] = lambda scored: None,
) -> Evaluation:
    """Scores the model of ``entry`` on ``target``: a clip, a folder of clips, a folder of PNG
    frames or a folder of such folders; of each clip at most the first ``max_frames``.

    ``against`` are models scored beside it. Raises InputError where there is nothing to score or
    it cannot be read, and ModelError where a model cannot be loaded, does not enlarge, enlarges
    otherwise than the first one, or gives values that are not finite.
    """
    scale = entry.facts.scale
    if scale < 2:
        raise ModelError(f"model {entry.name!r}: its scale is 1, allowed is 2 or more")
    for other in against:
        if other.facts.scale != scale:
            raise ModelError(
                f"model {other.name!r}: its scale is {other.facts.scale}, allowed is {scale}, "
                f"that of {entry.name!r}"
            )
    places = target_paths(target)  # before a model is loaded: a wrong path is refused at once
    entries = {entry.name: entry}
    for other in against:  # two folders may have one name
        entries[str(other.folder) if other.name in entries else other.name] = other
    models = {name: load_model(one, device) for name, one in entries.items()}
    bicubic = SlidingWindow(Resample("bicubic", scale), Facts(scale, 1, 0, Colour.RGB))
    comparison = _Comparison(models, bicubic, device, max_frames, report)
    rates = CAMERAS if degrade is Degradation.CAMERA else (None,)
    # a quantised network has no parameters, and its operators are not counted
    costs = {name: cost_of(make_network(one.card), one.facts) for name, one in entries.items()}
    return Evaluation(
        model=entry.name,
        device=str(device),
        scale=scale,
        degrade=degrade,
        clips=tuple(comparison.clip(place, rate) for place in places for rate in rates),
        costs={"bicubic": cost_of(bicubic.network, bicubic.facts), **costs},
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Sends clips through all models at once, so that each frame is made and coded once."""

    models: dict[str, SlidingWindow]  # the one in question first
    bicubic: SlidingWindow
    device: torch.device
    max_frames: int | None  # of each clip
    report: Callable[[Scored], None]

    @property
    def scale(self) -> int:
        return self.bicubic.facts.scale

    @property
    def multiple(self) -> int:
        """What the sides of the ground truth are multiples of."""
        return self.scale * lcm(*(model.facts.multiple for model in self.models.values()))

    def clip(self, place: Path, kbit_s: float | None) -> ClipScores:
        """Scores one clip, coded at a rate at 320x180, or shrunk alone."""
        multiple = self.multiple if kbit_s is None else lcm(self.multiple, 2 * self.scale)
        expected, frames = _frames(place, self.max_frames, multiple)
        name = place.name if place.is_dir() else place.stem
        label = name if kbit_s is None else f"{name} at {kbit_s:g}"
        models = [*self.models.values(), self.bicubic]
        scorers = [ClipScorer(name, model, self.device) for model in models]
        count, size = 0, ""
        pairs = self._shrunk(frames) if kbit_s is None else self._coded(frames, kbit_s, multiple)
        for count, (low, truth) in enumerate(pairs, 1):
            height, width = truth.luma.shape
            if count > 1 and size != f"{width}x{height}":
                raise InputError(f"clip {place}: its size changes from {size} to {width}x{height}")
            size = f"{width}x{height}"
            for scorer in scorers:
                scorer.push(low, truth)
            if count != expected:  # the last one is reported when its scores are there
                self.report(Scored(label, count, expected))
        if not count:
            raise InputError(f"clip {place}: there is no frame in it")
        ours, *others, bicubic = [scorer.finish() for scorer in scorers]
        self.report(Scored(label, count, count))
        named = dict(zip(list(self.models)[1:], others, strict=True))
        return ClipScores(name, count, size, kbit_s, ours, bicubic, named)

    def _shrunk(self, frames: Iterator[Frame]) -> Iterator[Pair]:
        for frame in frames:
            height, width = (side - side % self.multiple for side in (frame.height, frame.width))
            truth = pixels_of(frame, Colour.RGB).transpose(1, 2, 0)[:height, :width]
            shrunk = degrade_bicubic(torch.tensor(truth).permute(2, 0, 1) / 255, self.scale)
            low = levels(shrunk.permute(1, 2, 0) * 255)
            yield (
                replace(frame, planes=(low,), colour=SRGB),
                Truth.of(replace(frame, planes=(truth,), colour=SRGB)),
            )

    def _coded(self, frames: Iterator[Frame], kbit_s: float, multiple: int) -> Iterator[Pair]:
        waiting: deque[Frame] = deque()  # for what the camera shows of them

        def scene() -> Iterator[Frame]:
            for frame in frames:
                waiting.append(fitted(frame, multiple))
                yield waiting[-1]

        for low in degraded(scene(), self.scale, CAMERAS[kbit_s]):
            yield low, Truth.of(waiting.popleft())


def _frames(place: Path, limit: int | None, multiple: int) -> tuple[int | None, Iterator[Frame]]:
    """How many frames a clip will give, as far as known, and the frames, numbered.

    Each raises InputError where it is too small once its sides are cut down to multiples.
    """
    items = file_items(place)
    info = next((item for item in items if isinstance(item, SourceInfo)), None)
    known = info.frames if info else None
    least = multiple * ceil(SSIM_SIDE / multiple)

    def numbered() -> Iterator[Frame]:
        frames = (item for item in items if isinstance(item, Frame))
        for number, frame in enumerate(islice(frames, limit)):
            if min(frame.height, frame.width) < least:
                got = f"{frame.width}x{frame.height} pixels"
                raise InputError(f"clip {place}: got {got}, allowed are {least} and more a side")
            yield replace(frame, pts=number)

    return known and min(known, limit or known), numbered()
