"""Clips and stills as cameras show them: coded in several ways in advance, kept memory-mapped.

Encoding at every step would take longer than the step. A coding follows from its recipe alone, so
that a run sees the same pictures again wherever the cache was lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.colour import network_output
from streamsr.media.files import file_frames
from streamsr.networks.facts import Colour
from streamsr.train.data import Clip, Pixels, cached, clip_paths, pixels_of
from streamsr.train.degrade import Recipe, camera_recipe, degraded, drawn
from streamsr.train.settings import DegradeSettings
from streamsr.train.stills import Motion, moving, still_paths

__all__ = ["CAMERA_RATES", "Coder", "fitted"]

BT601 = ColourTags(matrix=ColourTags.BT601_525, primaries=6, transfer=6)
CAMERA_RATES = (96.0, 192.0, 384.0)  # kbit/s at 320x180: what a validation looks at
VALID_STILLS = 60  # one photograph in so many is never trained on


@dataclass(frozen=True, slots=True)
class Coder:
    """Gives coded clips out of the cache, making those that are missing."""

    cache: Path
    colour: Colour
    scale: int
    seed: int = 0
    clip_frames: int | None = None  # at most so many of each clip
    report: Callable[[str], None] = lambda name: None  # told of each clip that is ready

    def clips(self, folder: Path, settings: DegradeSettings) -> list[Clip]:
        """The clips of a folder, each under recipes of its own."""
        return [
            self._clip(path, None, self._drawn(path, settings.codings, settings))
            for path in clip_paths(folder)
        ]

    def stills(self, folder: Path, hanging: float, settings: DegradeSettings | None) -> list[Clip]:
        """What a camera that hangs still, trembles, pans or zooms shows of each photograph."""
        return [
            self._clip(
                path,
                Motion.drawn((self.seed, crc32(path.name.encode())), hanging),
                None if settings is None else self._drawn(path, settings.still_codings, settings),
            )
            for number, path in enumerate(still_paths(folder))
            if number % VALID_STILLS
        ]

    def valid_clips(self, folder: Path) -> list[Clip]:
        """The clips of a folder under a plain camera at three rates."""
        recipes = [camera_recipe(rate) for rate in CAMERA_RATES]
        return [self._clip(path, None, recipes) for path in clip_paths(folder)]

    def valid_stills(self, folder: Path) -> list[Clip]:
        """Photographs that are not trained on, before a camera that hangs still."""
        recipes = [replace(camera_recipe(rate), noise=1.0) for rate in CAMERA_RATES]
        return [self._clip(path, Motion(), recipes) for path in still_paths(folder)[::VALID_STILLS]]

    def _drawn(self, path: Path, count: int, settings: DegradeSettings) -> list[Recipe]:
        name = crc32(path.name.encode())
        return [drawn(settings, (self.seed, name, number)) for number in range(count)]

    def _clip(self, path: Path, motion: Motion | None, recipes: Sequence[Recipe] | None) -> Clip:
        """The clip at ``path``, or with a motion the still there; None: no camera codes it."""
        frames: list[Frame] = []  # read once, and only where something is missing

        def read() -> list[Frame]:
            if not frames:
                scene = moving(path, motion) if motion else file_frames(path)
                frames.extend(islice(scene, self.clip_frames))
            if not frames:
                raise InputError(f"{path}: there is no frame in it")
            return frames

        def truth() -> Pixels:
            return np.stack([pixels_of(frame, self.colour) for frame in read()])

        def codings(recipes: Sequence[Recipe]) -> Pixels:
            fit = [fitted(frame, 2 * self.scale) for frame in read()]
            return np.stack([self._shown(fit, recipe) for recipe in recipes])

        kind = f"{motion}|{self.colour}" if motion else str(self.colour)
        if self.clip_frames is not None:
            kind += f"|{self.clip_frames} frames"
        pixels = cached(path, self.cache, kind, truth)
        if recipes is None:
            self.report(path.stem)
            return Clip(path.stem, pixels)
        coding = f"{kind}|x{self.scale}|{list(recipes)}"
        low = cached(path, self.cache, coding, partial(codings, recipes))
        height, width = (self.scale * side for side in low.shape[3:])
        self.report(path.stem)
        return Clip(path.stem, pixels[:, :, :height, :width], low)

    def _shown(self, frames: Sequence[Frame], recipe: Recipe) -> Pixels:
        shown = degraded(frames, self.scale, recipe)
        return np.stack([pixels_of(frame, self.colour) for frame in shown])


def fitted(frame: Frame, multiple: int) -> Frame:
    """The frame in 4:2:0, without what its sides have above a ``multiple``, an even number.

    R'G'B' becomes BT.601, whose luma is the papers'.
    """
    height, width = (side - side % multiple for side in (frame.height, frame.width))
    if frame.is_rgb:
        return _yuv(replace(frame, planes=(frame.planes[0][:height, :width],)))
    luma, *chroma = frame.planes
    halved = [plane[: height // 2, : width // 2] for plane in chroma]
    return replace(frame, planes=(luma[:height, :width], *halved))


def _yuv(frame: Frame) -> Frame:
    rgb = torch.from_numpy(frame.planes[0].copy()).permute(2, 0, 1) / 255
    grey = np.zeros((frame.height // 2, frame.width // 2), np.uint8)
    planes = (np.zeros((frame.height, frame.width), np.uint8), grey, grey)
    empty = replace(frame, planes=planes, colour=BT601)  # what the result is to be like
    return replace(empty, planes=network_output(rgb, empty, Colour.RGB, 1))
