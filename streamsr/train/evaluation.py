"""Scoring models on ground truth as the super-resolution papers do, always beside bicubic.

A picture is 8-bit R'G'B', shrunk by antialiased bicubic, quantised, upscaled frame by frame on the
path that ``upscale`` takes, and compared in BT.601 luma with no border left out. Under ``camera``
it is 4:2:0, shrunk and coded in H.264 at several rates, and compared in the clip's own luma. Only
the frames that a window holds, and those an encoder waits for, are in memory.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import lcm
from pathlib import Path
from threading import Event as Flag

import torch

from streamsr.core.errors import InputError, ModelError
from streamsr.core.events import Event
from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.engine.colour import network_input
from streamsr.media.files import FileSource, FolderSource
from streamsr.media.source import SourceInfo
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.train.coded import CAMERA_RATES, fitted
from streamsr.train.cost import cost_of
from streamsr.train.data import CLIP_SUFFIXES, degrade_bicubic
from streamsr.train.degrade import camera_recipe, degraded
from streamsr.train.results import ClipScores, Evaluation
from streamsr.train.scoring import Run, Truth
from streamsr.zoo.loading import load_model, make_network
from streamsr.zoo.registry import Entry

__all__ = ["DEGRADATIONS", "Scored", "evaluate"]

DEGRADATIONS = ("bicubic", "camera")
SSIM_SIDE = 11  # pixels: the window of the structural similarity
SRGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)


@dataclass(frozen=True, slots=True)
class Scored:
    """Where an evaluation stands, once a frame."""

    clip: str
    frame: int  # frames of the clip read so far
    frames: int | None  # in the whole of it, as far as known
    done: bool = False  # this was its last


Report = Callable[[Scored], None]
Pair = tuple[Frame, Truth]
"""What a model sees, and what it is compared with."""


def evaluate(
    target: Path,
    entry: Entry,
    device: torch.device,
    *,
    against: Sequence[Entry] = (),
    degrade: str = "bicubic",
    max_frames: int | None = None,
    report: Report = lambda scored: None,
) -> Evaluation:
    """Score the model of ``entry`` on ``target``: a clip, a folder of clips, a folder of PNG
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
    places = _clips_of(target)  # before a model is loaded: a wrong path is said at once
    entries = {entry.name: entry}
    for other in against:  # two folders may have one name
        entries[str(other.folder) if other.name in entries else other.name] = other
    models = {name: load_model(one, device) for name, one in entries.items()}
    plain = SlidingWindow(Resample("bicubic", scale), Facts(scale, 1, 0, Colour.RGB))
    contest = _Contest(models, plain, device, degrade, max_frames, report)
    # a quantised network has no parameters, and its operators are not counted
    costs = {name: cost_of(make_network(one.card), one.facts) for name, one in entries.items()}
    return Evaluation(
        model=entry.name,
        device=str(device),
        scale=scale,
        degrade=degrade,
        clips=tuple(clip for place in places for clip in contest.clips(place)),
        costs={"bicubic": cost_of(plain.network, plain.facts), **costs},
    )


class _Contest:
    """Sends clips through all models at once, so that each frame is made and coded once."""

    def __init__(
        self,
        models: dict[str, SlidingWindow],  # the one in question first
        plain: SlidingWindow,
        device: torch.device,
        degrade: str,
        max_frames: int | None,
        report: Report,
    ) -> None:
        self._models = models
        self._plain = plain
        self._device = device
        self._degrade = degrade
        self._max_frames = max_frames
        self._report = report
        facts = [model.facts for model in models.values()]
        self._scale = facts[0].scale
        self._side = self._scale * lcm(*(f.multiple for f in facts))

    def clips(self, place: Path) -> Iterator[ClipScores]:
        """The clip's scores: once, or once for every rate of the camera."""
        rates = CAMERA_RATES if self._degrade == "camera" else (None,)
        for rate in rates:
            yield self._clip(place, rate)

    def _clip(self, place: Path, kbit_s: float | None) -> ClipScores:
        name = place.name if place.is_dir() else place.stem
        shown = name if kbit_s is None else f"{name} at {kbit_s:g}"
        runs = [Run(name, model, self._device) for model in (*self._models.values(), self._plain)]
        frames = _Frames(place, self._max_frames)
        count, size = 0, ""
        for low, truth in self._pairs(place, frames, kbit_s):
            picture = f"{truth.luma.shape[1]}x{truth.luma.shape[0]}"
            if count and picture != size:
                raise InputError(f"clip {place}: its size changes from {size} to {picture}")
            size = picture
            for run in runs:
                run.push(low, truth)
            count += 1
            if count != frames.expected:  # of the last one it is told when its scores are there
                self._report(Scored(shown, count, frames.expected))
        if not count:
            raise InputError(f"clip {place}: there is no frame in it")
        ours, *others, bicubic = [run.finish() for run in runs]
        self._report(Scored(shown, count, count, done=True))
        named = dict(zip(list(self._models)[1:], others, strict=True))
        return ClipScores(name, count, size, kbit_s, ours, bicubic, named)

    def _pairs(self, place: Path, frames: "_Frames", kbit_s: float | None) -> Iterator[Pair]:
        if kbit_s is None:
            for frame in frames:
                truth = _cropped(_rgb(frame), self._side, place)
                low = Frame((_shrunk(truth, self._scale),), SRGB, frame.pts, frame.time_base)
                yield low, Truth.of(Frame((truth,), SRGB, frame.pts, frame.time_base))
            return
        waiting: deque[Frame] = deque()  # for what the camera shows of them

        def scene() -> Iterator[Frame]:
            for frame in frames:
                waiting.append(fitted(frame, lcm(self._side, 2 * self._scale)))
                _check_size(waiting[-1].height, waiting[-1].width, self._side, place)
                yield waiting[-1]

        for low in degraded(scene(), self._scale, camera_recipe(kbit_s)):
            yield low, Truth.of(waiting.popleft())


class _Frames:
    """The frames of a clip, numbered, up to a limit."""

    def __init__(self, place: Path, limit: int | None) -> None:
        self._place = place
        self._limit = limit
        self.expected: int | None = None  # how many there will be, as far as known

    def __iter__(self) -> Iterator[Frame]:
        for number, frame in enumerate(islice(self._frames(), self._limit)):
            yield replace(frame, pts=number)

    def _frames(self) -> Iterator[Frame]:
        for item in _source(self._place).items(Flag()):
            if isinstance(item, SourceInfo) and item.frames:
                self.expected = min(item.frames, self._limit or item.frames)
            elif isinstance(item, Frame):
                yield item


def _clips_of(target: Path) -> list[Path]:
    """The clips that ``target`` names: files, and folders of PNG frames."""
    if target.is_file():
        return [target]
    if _holds_images(target):
        return [target]
    try:
        inside = sorted(target.iterdir())
    except OSError as error:
        raise InputError(f"target {target}: cannot be read: {error.strerror}") from None
    clips = [p for p in inside if p.suffix.lower() in CLIP_SUFFIXES or _holds_images(p)]
    if not clips:
        allowed = ", ".join(sorted(CLIP_SUFFIXES))
        raise InputError(
            f"target {target}: there are neither PNG frames, nor folders of them, nor clips here; "
            f"allowed endings of clips are {allowed}"
        )
    return clips


def _holds_images(place: Path) -> bool:
    return place.is_dir() and any(p.suffix.lower() == ".png" for p in place.iterdir())


def _source(place: Path) -> FileSource | FolderSource:
    def refuse(event: Event) -> None:
        raise InputError(f"clip {place}: {event.message}")

    return FolderSource(place) if place.is_dir() else FileSource(str(place), refuse)


def _rgb(frame: Frame) -> Plane:
    """(h, w, 3) uint8 R'G'B' of a frame."""
    levels = network_input(frame, Colour.RGB, torch.device("cpu")) * 255
    rgb: Plane = levels.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return rgb


def _cropped(picture: Plane, side: int, place: Path) -> Plane:
    """Cut the right and the bottom off, down to multiples of ``side``."""
    height, width = (extent - extent % side for extent in picture.shape[:2])
    _check_size(height, width, side, place, picture.shape)
    return picture[:height, :width]


def _check_size(
    height: int, width: int, side: int, place: Path, given: Sequence[int] | None = None
) -> None:
    if min(height, width) < max(side, SSIM_SIDE):
        height, width = (given or (height, width))[:2]
        raise InputError(
            f"clip {place}: got {width}x{height} pixels, allowed are {max(side, SSIM_SIDE)} and "
            "more a side"
        )


def _shrunk(picture: Plane, scale: int) -> Plane:
    """(h, w, 3) uint8 to (h / scale, w / scale, 3)."""
    low = degrade_bicubic(torch.tensor(picture).permute(2, 0, 1) / 255, scale)
    levels: Plane = (low * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return levels
