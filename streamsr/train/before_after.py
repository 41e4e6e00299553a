"""What a degradation does, to look at: a sheet of clips before and after."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame, Plane
from streamsr.engine.colour import network_input
from streamsr.media.files import file_frames
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize
from streamsr.train.chart import sheet
from streamsr.train.coded import fitted
from streamsr.train.data import clip_paths, degrade_bicubic
from streamsr.train.degrade import degraded, drawn
from streamsr.train.settings import DegradeSettings

__all__ = ["degradation_sheet"]

FRAMES = 30  # that are coded before the one that is shown
VIEW = (240, 320)  # rows and columns of what is shown, at most


def degradation_sheet(
    folder: Path, settings: DegradeSettings, scale: int, seed: int, rows: int
) -> Plane:
    """Pictures of the first clips of ``folder``: the truth, shrunk alone, and as a camera shows it.

    Both of the latter are enlarged bicubically. Each row has a recipe of its own.
    """
    paths = clip_paths(folder)
    return sheet([_row(paths[n % len(paths)], settings, scale, (seed, n)) for n in range(rows)])


def _row(
    path: Path, settings: DegradeSettings, scale: int, seed: Sequence[int]
) -> tuple[str, list[tuple[str, Plane]]]:
    frames = [fitted(frame, 2 * scale) for frame in islice(file_frames(path), FRAMES)]
    if not frames:
        raise InputError(f"{path}: there is no frame in it")
    recipe = drawn(settings, seed)
    *_, shown = degraded(frames, scale, recipe)
    truth = _rgb(frames[-1])
    pictures = [
        ("truth", truth),
        ("bicubic", resize(degrade_bicubic(truth, scale), scale)),
        ("camera", resize(_rgb(shown), scale)),
    ]
    return f"{path.stem}: {recipe}", [(name, _middle(picture)) for name, picture in pictures]


def _rgb(frame: Frame) -> Tensor:
    return network_input(frame, Colour.RGB, torch.device("cpu"))


def _middle(picture: Tensor) -> Plane:
    """The middle of (3, h, w) R'G'B', up to ``VIEW``, as (h, w, 3) levels."""
    levels = (picture * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    for axis, most in enumerate(VIEW):
        length = min(most, levels.shape[axis])
        levels = levels.narrow(axis, (levels.shape[axis] - length) // 2, length)
    view: Plane = levels.contiguous().numpy()
    return view
