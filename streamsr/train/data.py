"""Ground truth for training: clips decoded once into memory-mapped planes, crops cut at random."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame, Plane
from streamsr.engine.colour import network_input
from streamsr.engine.cuts import CutDetector
from streamsr.media.files import file_frames
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize

__all__ = [
    "CLIP_SUFFIXES",
    "Clip",
    "Crops",
    "Pixels",
    "cached",
    "clip_paths",
    "degrade_bicubic",
    "load_clips",
    "pixels_of",
]

CLIP_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".ts", ".webm", ".y4m"}

Pixels = NDArray[np.uint8]

FLICKER_DEPTH = 0.1  # of the light, at most
FLICKER_FRAMES = (2.0, 32.0)  # of one coming and going


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded clip, luma of limited range or R'G'B': the truth, and what cameras show of it."""

    name: str
    pixels: Pixels  # (frames, c, h, w)
    codings: Pixels | None = None  # (codings, frames, c, h / scale, w / scale); None: bicubic
    weight: float = 1.0  # how often it is cut from, beside what its size says

    def part(self, frames: slice) -> "Clip":
        """Some frames of it."""
        shown = self.codings
        codings = None if shown is None else shown[:, frames]
        return replace(self, pixels=self.pixels[frames], codings=codings)


def clip_paths(folder: Path) -> list[Path]:
    """The clips of a folder in the order of their names. Raises InputError where there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of clips")
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in CLIP_SUFFIXES)
    if not paths:
        allowed = ", ".join(sorted(CLIP_SUFFIXES))
        raise InputError(f"{folder}: there is no clip here; allowed endings are {allowed}")
    return paths


def load_clips(folder: Path, cache: Path, colour: Colour, most: int | None = None) -> list[Clip]:
    """Give every clip of ``folder``, decoding into ``cache`` those that are not there yet.

    Of each clip at ``most`` so many frames. Raises InputError where the folder holds no clip.
    """
    kind = str(colour) if most is None else f"{colour}|{most} frames"
    return [
        Clip(path.stem, cached(path, cache, kind, partial(_decoded, path, colour, most)))
        for path in clip_paths(folder)
    ]


def cached(path: Path, cache: Path, kind: str, make: Callable[[], Pixels]) -> Pixels:
    """What ``make`` gives, out of the cache where it is there already.

    The key holds all that would make it other pixels: the file, and ``kind``.
    """
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{kind}"
    target = cache / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npy"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        pixels = make()
        unfinished = target.with_suffix(f".{os.getpid()}.partial")  # another run may make it too
        with unfinished.open("wb") as file:
            np.save(file, pixels)
        unfinished.rename(target)
    return open_memmap(target, mode="r")


def degrade_bicubic(truth: Tensor, scale: int) -> Tensor:
    """Shrink as the papers' BI degradation does: antialiased bicubic, quantised to 8 bits.

    (..., h, w) in [0, 1], sides multiples of ``scale``, to (..., h/scale, w/scale).
    """
    return _in_levels(resize(truth, Fraction(1, scale)))


def pixels_of(frame: Frame, colour: Colour) -> Plane:
    """(c, h, w) uint8 of what a network of that colour reads or is to give."""
    levels = network_input(frame, colour, torch.device("cpu")) * 255
    pixels: Plane = levels.round().clamp(0, 255).to(torch.uint8).numpy()
    return pixels


class Crops:
    """Random crops of random clips, flipped and transposed; the same for the same seed and step.

    A window never crosses a scene cut.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        side: int,
        window: int,
        batch: int,
        seed: int,
        scale: int,
        shrink: tuple[float, float] = (1.0, 1.0),
        flicker: float = 0.0,
    ) -> None:
        self.side = side  # HR pixels, a multiple of the scale
        self.window = window
        self.batch = batch
        self.seed = seed
        self.scale = scale
        self.shrink = shrink
        self.flicker = flicker  # share of the crops
        long = [c for c in clips if len(c.pixels) >= window and min(c.pixels.shape[2:]) >= side]
        starts = [_starts(clip, window) for clip in long]
        self._starts = [s for s in starts if len(s)]
        self.clips = [clip for clip, s in zip(long, starts, strict=True) if len(s)]
        if not self.clips:
            raise InputError(f"no clip holds {window} frames of {side}x{side} pixels")
        # roots, so that long clips do not drown short ones
        sizes = np.array([clip.weight * clip.pixels.size**0.5 for clip in self.clips])
        self._share = sizes / sizes.sum()

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of ``step``, in [0, 1]: what the network sees, (batch, window, c, side/scale,
        side/scale), and the truth, (batch, window, c, side, side)."""
        random = np.random.default_rng((self.seed, step))
        pairs = [self._pair(random) for _ in range(self.batch)]
        low, truth = (torch.stack(column) for column in zip(*pairs, strict=True))
        return low, truth

    def _pair(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        light = self._light(random)
        number = random.choice(len(self.clips), p=self._share)
        clip, starts = self.clips[number], self._starts[number]
        side = self._side(clip, random)
        grid = 1 if clip.codings is None else self.scale
        first = starts[random.integers(0, len(starts))]
        top, left = (
            int(random.integers(0, (extent - side) // grid + 1)) * grid
            for extent in clip.pixels.shape[2:]
        )
        turn = random.integers(0, 2, 3)
        truth = _cut(clip.pixels[first : first + self.window], top, left, side, turn)
        if clip.codings is not None:
            shown = clip.codings[random.integers(0, len(clip.codings))]
            place = (top // grid, left // grid, side // grid)
            low = _cut(shown[first : first + self.window], *place, turn)
            return (
                (low, truth)
                if light is None
                else (_in_levels(_lit(low, light)), _lit(truth, light))
            )
        if self.window > 1 and random.integers(0, 2):  # what is coded knows its direction of time
            truth = truth.flip(0)
        if side != self.side:
            size = [self.side, self.side]
            truth = F.interpolate(truth, size, mode="bicubic", antialias=True).clamp(0, 1)
        truth = _lit(truth, light)
        return degrade_bicubic(truth, self.scale), truth

    def _light(self, random: np.random.Generator) -> Tensor | None:
        """(window, 1, 1, 1): the light of each frame, for the share of crops under a lamp."""
        if not self.flicker or random.random() >= self.flicker:
            return None
        depth, period = random.uniform(0, FLICKER_DEPTH), random.uniform(*FLICKER_FRAMES)
        phase = np.arange(self.window) / period + random.random()
        light = torch.from_numpy(1 - depth * (1 + np.sin(2 * np.pi * phase)) / 2)
        return light.float()[:, None, None, None]

    def _side(self, clip: Clip, random: np.random.Generator) -> int:
        """How much of a clip is cut out: more than ``side`` where that is shrunk first."""
        if clip.codings is not None or self.shrink == (1.0, 1.0):
            return self.side
        return int(min(round(self.side / random.uniform(*self.shrink)), *clip.pixels.shape[2:]))


def _decoded(path: Path, colour: Colour, most: int | None) -> Pixels:
    frames = [pixels_of(frame, colour) for frame in islice(file_frames(path), most)]
    if not frames:
        raise InputError(f"{path}: there is no frame in it")
    return np.stack(frames)


def _cut(pixels: Pixels, top: int, left: int, side: int, turn: NDArray[np.int64]) -> Tensor:
    flip_rows, flip_columns, transpose = turn
    crop = pixels[:, :, top : top + side, left : left + side]
    crop = crop[:, :, :: 1 - 2 * flip_rows, :: 1 - 2 * flip_columns]
    crop = np.ascontiguousarray(crop.swapaxes(2, 3) if transpose else crop)
    return torch.from_numpy(crop).float().div(255)


def _lit(frames: Tensor, light: Tensor | None) -> Tensor:
    """Frames in another light; black stays black, which is level 16 of luma."""
    if light is None:
        return frames
    black = 16 / 255 if frames.shape[1] == 1 else 0.0
    return black + (frames - black) * light


def _in_levels(x: Tensor) -> Tensor:
    return (x * 255).round().clamp(0, 255) / 255


def _starts(clip: Clip, window: int) -> list[int]:
    """The frames that a window may start with: none of its frames but the first is after a cut."""
    starts = np.ones(len(clip.pixels) - window + 1, bool)
    if window > 1:
        detector = CutDetector()
        for number, frame in enumerate(clip.pixels):
            if detector.is_cut(frame[0]):
                starts[max(0, number - window + 1) : number] = False
    return starts.nonzero()[0].tolist()
