"""Scoring a model on ground truth as the super-resolution papers do, always beside bicubic.

A picture is 8-bit R'G'B', shrunk by antialiased bicubic, quantised, upscaled frame by frame on the
path that ``upscale`` takes, and compared in BT.601 luma with no border left out. Only the frames
that a window holds are in memory.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from threading import Event as Flag
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from streamsr.engine.colour import luma_of_rgb, network_input, network_output
from streamsr.errors import InputError, ModelError
from streamsr.events import Event
from streamsr.frame import ColourTags, Frame, Plane
from streamsr.media.files import FileSource, FolderSource
from streamsr.media.source import SourceInfo
from streamsr.networks.contract import Colour, Facts
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import Ready, SlidingWindow
from streamsr.train.data import CLIP_SUFFIXES, degrade_bicubic
from streamsr.train.results import ClipScores, Evaluation, Scores, mean_of
from streamsr.train.scores import psnr, ssim
from streamsr.zoo.registry import Entry, load_model

__all__ = ["Scored", "evaluate"]

SSIM_SIDE = 11  # pixels: the window of the structural similarity
SRGB = ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)


@dataclass(frozen=True, slots=True)
class Scored:
    """Where an evaluation stands, once a frame."""

    clip: str
    frame: int  # frames of the clip read so far
    frames: int | None  # in the whole of it, as far as known
    done: bool = False  # this was its last


def evaluate(
    target: Path,
    entry: Entry,
    device: torch.device,
    *,
    max_frames: int | None = None,
    report: Callable[[Scored], None] | None = None,
) -> Evaluation:
    """Score the model of ``entry`` on ``target``: a clip, a folder of clips, a folder of PNG
    frames or a folder of such folders; of each clip at most the first ``max_frames``.

    Raises InputError where there is nothing to score or it cannot be read, and ModelError where
    the model cannot be loaded, does not enlarge, or gives values that are not finite.
    """
    if entry.facts.scale < 2:
        raise ModelError(f"model {entry.name!r}: its scale is 1, allowed is 2 or more")
    places = _clips_of(target)
    ours = load_model(entry, device)
    plain = _bicubic(entry.facts.scale)
    clips = tuple(
        _score(place, ours, plain, device, max_frames, report or (lambda step: None))
        for place in places
    )
    return Evaluation(
        model=entry.name,
        device=str(device),
        scale=entry.facts.scale,
        clips=clips,
        ours=mean_of([clip.ours for clip in clips]),
        bicubic=mean_of([clip.bicubic for clip in clips]),
    )


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


def _bicubic(scale: int) -> SlidingWindow:
    return SlidingWindow(Resample("bicubic", scale), Facts(scale, 1, 0, Colour.RGB))


def _score(
    place: Path,
    ours: SlidingWindow,
    plain: SlidingWindow,
    device: torch.device,
    max_frames: int | None,
    report: Callable[[Scored], None],
) -> ClipScores:
    """Send a clip through both models, a frame at a time."""
    name = place.name if place.is_dir() else place.stem
    scale, side = ours.facts.scale, ours.facts.scale * ours.facts.multiple
    runs = [_Run(name, model, device) for model in (ours, plain)]
    frames: int | None = None
    count, size = 0, ""
    for item in _source(place).items(Flag()):
        if isinstance(item, SourceInfo):
            frames = item.frames
        if not isinstance(item, Frame):
            continue
        truth = _cropped(_rgb(item), side, place)
        picture = f"{truth.shape[1]}x{truth.shape[0]}"
        if count and picture != size:
            raise InputError(f"clip {place}: its size changes from {size} to {picture}")
        size = picture
        luma = _luma(truth)
        low = Frame((_shrunk(truth, scale),), SRGB, count, item.time_base)
        for run in runs:
            run.push(low, luma)
        count += 1
        if count == max_frames:
            break
        report(Scored(name, count, frames and min(frames, max_frames or frames)))
    if not count:
        raise InputError(f"clip {place}: there is no frame in it")
    scores = [run.finish() for run in runs]
    report(Scored(name, count, count, done=True))
    return ClipScores(name, count, size, *scores)


class _Run:
    """One model on its way through one clip."""

    def __init__(self, clip: str, model: SlidingWindow, device: torch.device) -> None:
        self._clip = clip
        self._model = model
        self._device = device
        self._state: Any = None  # of the model; made with the first frame
        self._pending: deque[tuple[Frame, Tensor]] = deque()  # their window is not complete
        self._psnr: list[float] = []
        self._ssim: list[float] = []
        self._ms: list[float] = []

    def push(self, low: Frame, truth: Tensor) -> None:
        """Take a frame, and the luma that it was made from; score what that completes."""
        with torch.inference_mode():
            pixels = network_input(low, self._model.facts.colour, self._device)
            if self._state is None:
                self._state = self._model.start(1, *pixels.shape[1:])
            self._pending.append((low, truth))
            self._score(self._model.push(pixels[None], self._state))

    def finish(self) -> Scores:
        """Score the last frames, and give the means of all."""
        with torch.inference_mode():
            self._score(self._model.drain(self._state, 0))
        return Scores(fmean(self._psnr), fmean(self._ssim), median(self._ms))

    def _score(self, ready: list[Ready]) -> None:
        facts = self._model.facts
        for window in ready:
            low, truth = self._pending.popleft()
            output = self._timed(window).float()
            if not bool(torch.isfinite(output.sum())):
                raise ModelError(
                    f"clip {self._clip}, frame {low.pts}: the network gave values that are not "
                    "finite"
                )
            (upscaled,) = network_output(output, low, facts.colour, facts.scale)
            luma = _luma(upscaled)
            self._psnr.append(psnr(luma, truth))
            self._ssim.append(ssim(luma, truth))

    def _timed(self, window: Ready) -> Tensor:
        start = perf_counter()
        ((_, output),) = self._model.run([window])
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._ms.append((perf_counter() - start) * 1e3)
        return output


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
    if min(height, width) < max(side, SSIM_SIDE):
        raise InputError(
            f"clip {place}: got {picture.shape[1]}x{picture.shape[0]} pixels, allowed are "
            f"{max(side, SSIM_SIDE)} and more a side"
        )
    return picture[:height, :width]


def _shrunk(picture: Plane, scale: int) -> Plane:
    """(h, w, 3) uint8 to (h / scale, w / scale, 3)."""
    low = degrade_bicubic(torch.tensor(picture).permute(2, 0, 1) / 255, scale)
    levels: Plane = (low * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return levels


def _luma(picture: Plane) -> Tensor:
    """(h, w) luma in levels, not rounded, of (h, w, 3) uint8, as MATLAB's ``rgb2ycbcr`` has it."""
    return luma_of_rgb(torch.tensor(picture).permute(2, 0, 1).double() / 255)[0] * 255
