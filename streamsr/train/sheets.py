"""Sheets of images side by side, to look at: what networks and degradations make of clips.

Images are (h, w, 3) uint8 R'G'B'.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from streamsr.core.errors import InputError, OutputError
from streamsr.core.frame import Plane
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize
from streamsr.sources.opening import file_frames
from streamsr.train.degrade import degraded, drawn
from streamsr.train.files import clip_paths
from streamsr.train.frames import degrade_bicubic, fitted, levels, pixels_of
from streamsr.train.settings import DegradeSettings

__all__ = ["degradation_sheet", "middle", "sheet", "write_png"]

GAP = 6  # pixels between the images of a row
LINE = 14  # pixels a line of text is high
FRAMES = 30  # that are coded before the one that is shown
VIEW = (240, 320)  # rows and columns of what is shown of a frame, at most


def sheet(rows: Sequence[tuple[str, Sequence[tuple[str, Plane]]]]) -> Plane:
    """Puts images side by side: a title above each row, a name below each image.

    What is not ASCII shows as "?", and what is too long for its place is cut.
    """
    heights = [max(len(image) for _, image in images) + 2 * LINE for _, images in rows]
    width = max(sum(image.shape[1] + GAP for _, image in images) for _, images in rows)
    white = np.full((sum(heights), width, 3), 255, np.uint8)
    tops = np.cumsum([0, *heights[:-1]])
    for top, (title, images) in zip(tops, rows, strict=True):
        _write(white[top : top + LINE], title)
        left = 0
        for name, image in images:
            column = white[top + LINE :, left : left + image.shape[1]]
            column[: len(image)] = image
            _write(column[len(image) :][:LINE], name)
            left += image.shape[1] + GAP
    return white


def middle(image: Tensor, height: int, width: int) -> Plane:
    """Returns the middle of (1 or 3, h, w) levels, up to a size; luma becomes grey."""
    for axis, most in ((1, height), (2, width)):
        length = min(most, image.shape[axis])
        image = image.narrow(axis, (image.shape[axis] - length) // 2, length)
    if len(image) == 1:
        image = ((image - 16) * (255 / 219)).expand(3, -1, -1)
    return levels(image.permute(1, 2, 0))


def write_png(path: Path, image: Plane) -> None:
    """Writes an image. Raises OutputError."""
    _, data = cv2.imencode(".png", image[..., ::-1])
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"image {path}: cannot be written: {error.strerror}") from None


def degradation_sheet(
    folder: Path, settings: DegradeSettings, scale: int, seed: int, rows: int
) -> Plane:
    """Shows frames of the first clips of ``folder``: the truth, shrunk alone, and from a camera.

    Both of the latter are enlarged bicubically; at scale 1 nothing is shrunk. Each row has a recipe
    of its own. Raises InputError where there is no clip, or one cannot be read.
    """
    paths = clip_paths(folder)
    return sheet(
        [_degraded(paths[n % len(paths)], settings, scale, (seed, n)) for n in range(rows)]
    )


def _degraded(
    path: Path, settings: DegradeSettings, scale: int, seed: Sequence[int]
) -> tuple[str, list[tuple[str, Plane]]]:
    frames = [fitted(frame, 2 * scale) for frame in islice(file_frames(path), FRAMES)]
    if not frames:
        raise InputError(f"{path}: there is no frame in it")
    recipe = drawn(settings, seed)
    *_, seen = degraded(frames, scale, recipe)
    shown = frames[:: recipe.every][-1]
    truth, camera = (
        torch.from_numpy(pixels_of(frame, Colour.RGB)) / 255 for frame in (shown, seen)
    )
    images = {"truth": truth}
    if scale > 1:
        images["bicubic"] = resize(degrade_bicubic(truth, scale), scale)
    images["camera"] = resize(camera, scale)
    return f"{path.stem}: {recipe}", [(n, middle(i * 255, *VIEW)) for n, i in images.items()]


def _write(line: Plane, text: str) -> None:
    cv2.putText(line, text, (2, LINE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (34, 34, 34))
