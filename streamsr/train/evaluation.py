"""Scoring models on ground truth as the super-resolution papers do, always beside bicubic.

A frame is 8-bit R'G'B', shrunk (BI or BD), upscaled by the engine that ``upscale`` runs, and
compared in BT.601 luma with no border left out. Under ``camera`` it is 4:2:0, shrunk and coded in
H.264 at several rates, and compared in the clip's own luma. What a set holds shrunk already is
taken as it is. Only the frames that a window holds, and those an encoder waits for, are in memory.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from pathlib import Path

import numpy as np
import torch

from streamsr.core.errors import InputError, ModelError
from streamsr.core.frame import Frame, Plane
from streamsr.core.settings import Quality
from streamsr.engine.base import ModelEngine
from streamsr.engine.engines import Engines
from streamsr.engine.mixed.passes import in_passes
from streamsr.engine.mixed.run_up import with_run_up
from streamsr.media.pixels import SRGB
from streamsr.media.source import SourceInfo
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.flow import USUAL, Search
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.sources.opening import file_frames, file_items
from streamsr.train.degrade import CAMERAS, degraded
from streamsr.train.frames import degrade_bd, degrade_bicubic, fitted, levels, pixels_of
from streamsr.train.pairs import ClipPair, clip_pairs, common_scale
from streamsr.train.results import ClipScores, Degradation, Evaluation
from streamsr.train.scoring import ClipScorer, Truth, cost_of
from streamsr.zoo.card import Precision
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import Entry

__all__ = ["Scored", "evaluate"]

SSIM_SIDE = 11  # pixels: the window of the structural similarity


@dataclass(frozen=True, slots=True)
class Scored:
    """How far an evaluation has come, once a frame."""

    clip: str
    frame: int  # frames of the clip read so far
    frames: int | None  # in the whole of it, as far as known


Compared = Iterator[tuple[Frame, Frame]]
"""What a model sees, and the truth."""


def evaluate(
    target: Path,
    entry: Entry,
    device: torch.device,
    *,
    low: Path | None = None,
    against: Sequence[Entry] = (),
    degrade: Degradation = Degradation.BICUBIC,
    precision: Precision | None = None,
    quality: Quality = Quality.USUAL,
    max_frames: int | None = None,
    report: Callable[[Scored], None] = lambda scored: None,
) -> Evaluation:
    """Scores the model of ``entry`` on ``target``: a clip, a folder of clips, a folder of PNG
    frames or a folder of such folders; of each clip at most the first ``max_frames``.

    What the models see is made of it by ``degrade``, or lies in ``low``, the same clips under the
    same names. ``against`` are models scored beside it; all are of ``quality`` (auto: usual).
    Raises InputError where there is nothing to score or it cannot be read, and ModelError where a
    model cannot be loaded, is not of the scale of the others and of ``low``, does not run in
    ``precision`` here, or fails.
    """
    pairs = clip_pairs(target, low)  # before a model is loaded: a wrong path is refused at once
    scale = entry.facts.scale if low is None else common_scale(pairs)
    if scale == 1 and low is None and degrade is not Degradation.CAMERA:
        raise ModelError(
            f"model {entry.name!r}: its scale is 1, allowed is 2 or more where the input is only "
            "shrunk"
        )
    for one in (entry, *against):
        if one.facts.scale != scale:
            raise ModelError(
                f"model {one.name!r}: its scale is {one.facts.scale}, allowed is {scale}, that of "
                f"{repr(entry.name) if low is None else low}"
            )
    entries = {entry.name: entry}
    for other in against:  # two folders may have one name
        entries[str(other.folder) if other.name in entries else other.name] = other
    plain = SlidingWindow(Resample("bicubic", scale), Facts(scale, 1, 0, Colour.LUMA))
    with Engines(device) as engines:

        def load(one: Entry, search: Search = USUAL) -> ModelEngine:
            plain = one.card.serves_every_scale
            return engines.load(one, None if plain else precision, search=search)

        load_file = with_run_up(load)
        if quality is Quality.BEST:
            load_file = in_passes(load_file)
        loaded = {name: load_file(one) for name, one in entries.items()}
        comparison = _Comparison(
            loaded, engines.of(plain), scale, None if low else degrade, max_frames, report
        )
        rates = CAMERAS if comparison.degrade is Degradation.CAMERA else (None,)
        clips = tuple(comparison.clip(pair, rate) for pair in pairs for rate in rates)
    # a quantised network has no parameters, and its operators are not counted
    costs = {name: cost_of(make_network(one.card), one.facts) for name, one in entries.items()}
    precisions = {name: engine.model.precision for name, engine in loaded.items()}
    result = Evaluation(
        entry.name, str(device), scale, comparison.degrade, clips, costs, precisions
    )
    costs.setdefault(result.plain, cost_of(plain.network, plain.facts))
    precisions.setdefault(result.plain, plain.precision)
    return result


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Sends clips through all models at once, so that each frame is made and coded once."""

    models: dict[str, ModelEngine]  # the one in question first
    plain: ModelEngine  # bicubic
    scale: int
    degrade: Degradation | None  # None: what is seen is given
    max_frames: int | None  # of each clip
    report: Callable[[Scored], None]

    def clip(self, pair: ClipPair, kbit_s: float | None) -> ClipScores:
        """Scores one clip, coded at a rate at 320x180, or not coded."""
        label = pair.name if kbit_s is None else f"{pair.name} at {kbit_s:g}"
        scorers = [ClipScorer(label, engine) for engine in (*self.models.values(), self.plain)]
        expected = _length(pair.truth, self.max_frames)
        frames = islice(self._frames(pair, kbit_s), self.max_frames)
        count, size = 0, ""
        for count, (low, truth) in enumerate(frames, 1):
            got = f"{truth.width}x{truth.height}"
            if count > 1 and size != got:
                raise InputError(f"clip {pair.truth}: its size changes from {size} to {got}")
            size, wanted = got, Truth.of(truth)
            for scorer in scorers:
                scorer.push(low, wanted)
            if count != expected:  # the last one is reported when its scores are there
                self.report(Scored(label, count, expected))
        if not count:
            raise InputError(f"clip {pair.truth}: there is no frame in it")
        ours, *others, plain = [scorer.finish() for scorer in scorers]
        self.report(Scored(label, count, count))
        named = dict(zip(list(self.models)[1:], others, strict=True))
        return ClipScores(pair.name, count, size, kbit_s, ours, plain, named)

    def _frames(self, pair: ClipPair, kbit_s: float | None) -> Compared:
        """Yields what is compared. Raises InputError for frames that are too small."""
        multiple = self.scale if kbit_s is None else 2 * self.scale
        if pair.low is not None:
            for low, truth in pair.frames(self.scale):
                _check_size(truth, pair.truth, multiple)
                yield low, truth
            return

        def scene() -> Iterator[Frame]:
            for frame in file_frames(pair.truth):
                _check_size(frame, pair.truth, multiple)
                yield frame

        yield from self._shrunk(scene()) if kbit_s is None else self._coded(scene(), kbit_s)

    def _shrunk(self, frames: Iterator[Frame]) -> Compared:
        for frame in frames:
            height, width = (side - side % self.scale for side in (frame.height, frame.width))
            truth = pixels_of(frame, Colour.RGB).transpose(1, 2, 0)[:height, :width]
            low = _bicubic if self.degrade is Degradation.BICUBIC else degrade_bd
            shrunk, whole = (
                replace(frame, planes=(np.ascontiguousarray(pixels),), colour=SRGB)
                for pixels in (low(truth, self.scale), truth)
            )
            yield shrunk, whole

    def _coded(self, frames: Iterator[Frame], kbit_s: float) -> Compared:
        waiting: deque[Frame] = deque()  # for what the camera shows of them

        def scene() -> Iterator[Frame]:
            for frame in frames:
                waiting.append(fitted(frame, 2 * self.scale))
                yield waiting[-1]

        for low in degraded(scene(), self.scale, CAMERAS[kbit_s]):
            yield low, waiting.popleft()


def _bicubic(truth: Plane, scale: int) -> Plane:
    """(h, w, 3) levels, BI."""
    shrunk = degrade_bicubic(torch.tensor(truth).permute(2, 0, 1) / 255, scale)
    return levels(shrunk.permute(1, 2, 0) * 255)


def _length(place: Path, limit: int | None) -> int | None:
    """How many frames of a clip will be scored, as far as known."""
    info = next((item for item in file_items(place) if isinstance(item, SourceInfo)), None)
    known = info.frames if info else None
    return known and min(known, limit or known)


def _check_size(frame: Frame, place: Path, multiple: int) -> None:
    """Raises InputError where too little is left of a frame once its sides are multiples."""
    least = multiple * ceil(SSIM_SIDE / multiple)
    if min(frame.height, frame.width) < least:
        got = f"{frame.width}x{frame.height} pixels"
        raise InputError(f"clip {place}: got {got}, allowed are {least} and more a side")
