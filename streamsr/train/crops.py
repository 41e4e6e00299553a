"""Training batches: crops cut at random out of clips, also ahead of the steps that take them."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from streamsr.core.errors import InputError
from streamsr.engine.discontinuity import CutDetector
from streamsr.train.clips import Clip, Pixels
from streamsr.train.frames import degrade_bicubic, whole_levels

__all__ = ["Crops", "batches"]

LEAST_SIDE = 16  # LR pixels of a crop
FLICKER_DEPTH = 0.1  # of the light, at most
FLICKER_FRAMES = (2.0, 32.0)  # of one period


@dataclass
class Crops:
    """Random crops of random clips, flipped and transposed; the same for the same seed and step.

    A window never crosses a scene cut. Raises InputError where no clip is long and large enough.
    """

    clips: Sequence[Clip]  # those that are too short or too small are left out
    _: KW_ONLY
    side: int  # HR pixels, a multiple of the scale; less where no clip is as large
    window: int
    batch: int
    seed: int
    scale: int
    shrink: tuple[float, float] = (1.0, 1.0)
    flicker: float = 0.0  # share of the crops

    def __post_init__(self) -> None:
        largest = max((min(clip.pixels.shape[2:]) for clip in self.clips), default=0)
        if LEAST_SIDE * self.scale <= largest < self.side:
            self.side = largest - largest % self.scale
        starts = [(clip, _starts(clip, self.window, self.side)) for clip in self.clips]
        self.clips = [clip for clip, s in starts if s]
        self._starts = [s for _, s in starts if s]
        if not self.clips:
            raise InputError(
                f"no clip holds {self.window} frames of {self.side}x{self.side} pixels"
            )
        # roots, so that long clips do not drown short ones
        sizes = np.array([clip.weight * clip.pixels.size**0.5 for clip in self.clips])
        self._share = sizes / sizes.sum()

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the batch of ``step``, float32 in [0, 1]: what the network sees, (batch, window,
        c, side/scale, side/scale), and the truth, (batch, window, c, side, side)."""
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
        flips = random.integers(0, 2, 3)
        frames = slice(first, first + self.window)
        truth = _cut(clip.pixels[frames], top, left, side, flips)
        if clip.codings is not None:
            seen = clip.codings[random.integers(0, len(clip.codings))]
            low = _cut(seen[frames], top // grid, left // grid, side // grid, flips)
            return whole_levels(_lit(low, light)) / 255, _lit(truth, light)
        if self.window > 1 and random.integers(0, 2):  # what is coded knows its direction of time
            truth = truth.flip(0)
        if side != self.side:
            size = [self.side, self.side]
            truth = F.interpolate(truth, size, mode="bicubic", antialias=True).clamp(0, 1)
        truth = _lit(truth, light)
        return degrade_bicubic(truth, self.scale), truth

    def _light(self, random: np.random.Generator) -> Tensor | None:
        """(window, 1, 1, 1): the light of each frame, for the share of crops that flicker."""
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


def batches(crops: Crops, first: int, workers: int) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yields the batches from step ``first`` on, without end; closing it ends its threads.

    They are made in ``workers`` threads, as many ahead, so that a GPU need not wait; 0: none
    ahead. A batch depends on its step alone: they are the same in any number of threads.
    """
    if not workers:
        yield from map(crops.at, count(first))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="crops")
    try:
        pending = deque(pool.submit(crops.at, first + n) for n in range(workers))
        for step in count(first + workers):
            pending.append(pool.submit(crops.at, step))
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _cut(pixels: Pixels, top: int, left: int, side: int, flips: NDArray[np.int64]) -> Tensor:
    flip_rows, flip_columns, transpose = flips
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


def _starts(clip: Clip, window: int, side: int) -> list[int]:
    """The frames that a window may start with: none of its frames but the first is after a cut."""
    if len(clip.pixels) < window or min(clip.pixels.shape[2:]) < side:
        return []
    starts = np.ones(len(clip.pixels) - window + 1, bool)
    if window > 1:
        detector = CutDetector()
        for number, frame in enumerate(clip.pixels):
            if detector.is_cut(frame[0]):
                starts[max(0, number - window + 1) : number] = False
    return starts.nonzero()[0].tolist()
