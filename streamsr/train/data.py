"""Ground truth for training: clips decoded once into memory-mapped planes, crops cut at random."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from streamsr.engine.colour import network_input
from streamsr.errors import InputError
from streamsr.frame import Frame, Plane
from streamsr.media.files import file_frames
from streamsr.networks.contract import Colour
from streamsr.networks.resample import resize

__all__ = ["Clip", "Crops", "degrade_bicubic", "load_clips"]

CLIP_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".ts", ".webm", ".y4m"}


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded clip: (frames, c, h, w) uint8, luma of limited range or R'G'B'."""

    name: str
    pixels: np.memmap[Any, np.dtype[np.uint8]]


def load_clips(folder: Path, cache: Path, colour: Colour) -> list[Clip]:
    """Give every clip of ``folder``, decoding into ``cache`` those that are not there yet.

    Raises InputError where the folder holds no clip.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of clips")
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in CLIP_SUFFIXES)
    if not paths:
        allowed = ", ".join(sorted(CLIP_SUFFIXES))
        raise InputError(f"{folder}: there is no clip here; allowed endings are {allowed}")
    cache.mkdir(parents=True, exist_ok=True)
    return [Clip(path.stem, _cached(path, cache, colour)) for path in paths]


def degrade_bicubic(truth: Tensor, scale: int) -> Tensor:
    """Shrink as the papers' BI degradation does: antialiased bicubic, quantised to 8 bits.

    (..., h, w) in [0, 1], sides multiples of ``scale``, to (..., h/scale, w/scale).
    """
    return (resize(truth, Fraction(1, scale)) * 255).round().clamp(0, 255) / 255


class Crops:
    """Random crops of random clips, flipped and transposed; the same for the same seed and step."""

    def __init__(self, clips: list[Clip], *, side: int, window: int, batch: int, seed: int) -> None:
        self.side = side  # HR pixels
        self.window = window
        self.batch = batch
        self.seed = seed
        self.clips = [
            c for c in clips if len(c.pixels) >= window and min(c.pixels.shape[2:]) >= side
        ]
        if not self.clips:
            raise InputError(f"no clip holds {window} frames of {side}x{side} pixels")
        sizes = np.sqrt([float(clip.pixels.size) for clip in self.clips])
        self._share = sizes / sizes.sum()  # roots, so that long clips do not drown short ones

    def at(self, step: int) -> Tensor:
        """The batch of ``step``: (batch, window, c, side, side) in [0, 1]."""
        random = np.random.default_rng((self.seed, step))
        crops = np.stack([self._crop(random) for _ in range(self.batch)])
        return torch.from_numpy(crops).float().div(255)

    def _crop(self, random: np.random.Generator) -> Plane:
        pixels = self.clips[random.choice(len(self.clips), p=self._share)].pixels
        first, top, left = (
            int(random.integers(0, extent - size + 1))
            for extent, size in zip(
                (pixels.shape[0], *pixels.shape[2:]),
                (self.window, self.side, self.side),
                strict=True,
            )
        )
        rows, columns = slice(top, top + self.side), slice(left, left + self.side)
        crop = pixels[first : first + self.window, :, rows, columns]
        flip_rows, flip_columns, transpose = random.integers(0, 2, 3)
        crop = crop[:, :, :: 1 - 2 * flip_rows, :: 1 - 2 * flip_columns]
        return np.ascontiguousarray(crop.swapaxes(2, 3) if transpose else crop)


def _cached(path: Path, cache: Path, colour: Colour) -> np.memmap[Any, np.dtype[np.uint8]]:
    """The clip's planes out of the cache; the key holds all that would make them other ones."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{colour}"
    target = cache / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npy"
    if not target.exists():
        frames = [_pixels(frame, colour) for frame in file_frames(path)]
        if not frames:
            raise InputError(f"{path}: there is no frame in it")
        partial = target.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, np.stack(frames))
        partial.rename(target)
    return open_memmap(target, mode="r")


def _pixels(frame: Frame, colour: Colour) -> Plane:
    """(c, h, w) uint8 of what a network of that colour is to give."""
    levels = network_input(frame, colour, torch.device("cpu")) * 255
    pixels: Plane = levels.round().clamp(0, 255).to(torch.uint8).numpy()
    return pixels
