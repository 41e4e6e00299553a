"""What a user's camera makes of a scene: blur, scaler, sensor noise, real encoding.

Each ``Recipe`` is drawn from the ``[data.degrade]`` of a training file, by a seed alone, so that
the same clip under the same number is degraded in the same way on every machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.core.frame import Frame
from streamsr.media.camera_codec import CameraCoding, coded
from streamsr.networks.resample import resize
from streamsr.train.frames import levels
from streamsr.train.settings import DegradeSettings, Scaler

__all__ = ["CAMERAS", "Recipe", "degraded", "drawn"]

CHUNK = 8  # frames that are shrunk at once: bounds the memory


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to degrade a clip, every value decided."""

    coding: CameraCoding
    scaler: Scaler = "bicubic"
    blur_px: float = 0.0
    noise: float = 0.0
    seed: int = 0  # of the noise
    every: int = 1  # one frame of so many is kept

    def __str__(self) -> str:
        coding = self.coding
        rate = f"{coding.kbit_s:.0f} kbit/s" if coding.qp is None else f"QP {coding.qp}"
        return (
            f"{self.scaler}, blur {self.blur_px:g} px, noise {self.noise:.1f}, {coding.codec} "
            f"{rate}, GOP {coding.gop}, {coding.preset}, one frame of {self.every}, "
            f"{'full' if coding.full_range else 'limited'} range"
        )


CAMERAS = {rate: Recipe(CameraCoding(kbit_s=rate)) for rate in (96.0, 192.0, 384.0, 1024.0)}
"""What validations and ``eval --degrade camera`` look through: plain H.264, by its rate."""


def drawn(settings: DegradeSettings, seed: Sequence[int]) -> Recipe:
    """Draws the recipe that ``seed`` stands for."""
    random = np.random.default_rng(seed)
    low, high = np.log(settings.kbit_s)
    least, most = np.sqrt(settings.noise)
    qp = int(random.integers(settings.qp[0], settings.qp[1] + 1))
    return Recipe(
        scaler=settings.scalers[random.integers(len(settings.scalers))],
        blur_px=settings.blur_px[random.integers(len(settings.blur_px))],
        noise=float(random.uniform(least, most) ** 2),
        seed=int(random.integers(1 << 31)),
        coding=CameraCoding(
            codec=settings.codecs[random.integers(len(settings.codecs))],
            kbit_s=float(np.exp(random.uniform(low, high))),
            gop=int(random.integers(settings.gop[0], settings.gop[1] + 1)),
            preset=settings.presets[random.integers(len(settings.presets))],
            buffer_s=float(random.uniform(*settings.buffer_s)),
            full_range=bool(random.random() < settings.full_range),
            qp=qp if random.random() < settings.qp_share else None,
        ),
        every=settings.every[random.integers(len(settings.every))],
    )


def degraded(frames: Iterable[Frame], scale: int, recipe: Recipe) -> Iterator[Frame]:
    """Yields what a camera shows of ``frames``, 4:2:0 of sides that 2 * ``scale`` divides; of some
    recipes it is one frame of a few.

    Each frame as it comes, ``scale`` times smaller. Raises InputError where an encoder refuses.
    """
    kept = islice(frames, None, None, recipe.every)
    return coded(_shrunk(kept, scale, recipe), recipe.coding)


def _shrunk(frames: Iterator[Frame], scale: int, recipe: Recipe) -> Iterator[Frame]:
    random = np.random.default_rng(recipe.seed)
    while some := list(islice(frames, CHUNK)):
        stacks = [
            _scaled(torch.from_numpy(np.stack(planes)).float(), scale, recipe)
            for planes in zip(*(frame.planes for frame in some), strict=True)
        ]
        for frame, *planes in zip(some, *stacks, strict=True):
            noise = random.normal(0, 1, planes[0].shape) * recipe.noise
            planes[0] = planes[0] + torch.from_numpy(noise).float()
            yield replace(frame, planes=tuple(levels(plane) for plane in planes))


def _scaled(stack: Tensor, scale: int, recipe: Recipe) -> Tensor:
    """(n, h, w) levels to (n, h / scale, w / scale)."""
    if recipe.blur_px:
        stack = _blurred(stack, recipe.blur_px)
    if recipe.scaler == "area":
        return F.avg_pool2d(stack, scale)
    if recipe.scaler == "bilinear":
        size = [side // scale for side in stack.shape[1:]]
        return F.interpolate(stack[None], size, mode="bilinear", antialias=True)[0]
    return resize(stack, Fraction(1, scale), recipe.scaler)


def _blurred(stack: Tensor, sigma: float) -> Tensor:
    """(n, h, w) by a Gaussian: shifted sums, which outrun a convolution of one channel."""
    reach = max(1, round(3 * sigma))
    line = torch.exp(-(torch.arange(-reach, reach + 1).double() ** 2) / (2 * sigma**2))
    weights = (line / line.sum()).tolist()
    stack = F.pad(stack[None], [reach] * 4, mode="replicate")[0]
    for axis in (1, 2):
        length = stack.shape[axis] - 2 * reach
        total = stack.narrow(axis, 0, length) * weights[0]
        for shift, weight in enumerate(weights[1:], 1):
            total.add_(stack.narrow(axis, shift, length), alpha=weight)
        stack = total
    return stack
