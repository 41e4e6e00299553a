"""The clips of a run: decoded and coded once into memory-mapped files, and which are scored.

Encoding at every step would take longer than the step. A coding follows from its recipe alone, so
that a run sees the same pixels again wherever the cache was lost.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.networks.facts import Facts
from streamsr.sources.opening import file_frames
from streamsr.train.degrade import CAMERAS, Recipe, degraded, drawn
from streamsr.train.files import clip_paths, still_paths
from streamsr.train.frames import fitted, pixels_of
from streamsr.train.pairs import clip_pairs
from streamsr.train.settings import DataSettings
from streamsr.train.stills import Motion, moving
from streamsr.train.whole_file import make_folder, whole_file

__all__ = ["Clip", "Footage", "Pixels"]

VALID_STILLS = 60  # one photograph in so many is never trained on

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded clip, luma of limited range or R'G'B': the truth, and what cameras show of it."""

    name: str
    pixels: Pixels  # (frames, c, h, w)
    codings: Pixels | None = None  # (codings, frames, c, h / scale, w / scale); None: bicubic
    weight: float = 1.0  # how often it is cut from, beside what its size says

    def part(self, frames: slice) -> "Clip":
        """Returns some frames of it."""
        codings = None if self.codings is None else self.codings[:, frames]
        return replace(self, pixels=self.pixels[frames], codings=codings)


@dataclass(frozen=True, slots=True)
class Footage:
    """What a run is trained on and scored on, made in the cache where it is not there yet."""

    settings: DataSettings
    facts: Facts
    seed: int
    report: Callable[[str], None]  # called with the name of each clip that is ready

    def train(self) -> list[Clip]:
        """Returns what crops are cut from; stills get the share that the settings give them.

        Raises InputError where there is no clip, or one cannot be read.
        """
        settings, degrade = self.settings, self.settings.degrade
        if settings.low is not None:
            clips = [self._pair(path, settings.low) for path in clip_paths(settings.train)]
            return [clip.part(slice(self._held_out(clip))) for clip in clips]
        codings, of_still = (degrade.codings, degrade.still_codings) if degrade else (0, 0)
        clips = [
            clip
            for path in clip_paths(settings.train)
            for clip in self._clips(path, self._drawn(path, codings))
        ]
        if settings.held_out:
            clips = [clip.part(slice(self._held_out(clip))) for clip in clips]
        if settings.stills is None:
            return clips
        stills = [
            clip
            for number, path in enumerate(still_paths(settings.stills))
            if number % VALID_STILLS
            for clip in self._clips(
                path,
                self._drawn(path, of_still),
                Motion.drawn((self.seed, crc32(path.name.encode())), settings.hanging),
            )
        ]
        share = settings.still_share / (1 - settings.still_share)
        weight = share * _roots(clips) / _roots(stills)
        return [*clips, *(replace(still, weight=still.weight * weight) for still in stills)]

    def valid(self) -> list[Clip]:
        """Returns what is scored, where clips are coded under a plain camera at every rate, with
        photographs of a camera that does not move.

        Raises InputError for a clip that is too short or too small.
        """
        settings = self.settings
        recipes = list(CAMERAS.values()) if settings.degrade else None
        folder = settings.train if settings.valid is None else settings.valid
        low = settings.low if settings.valid is None else settings.valid_low
        clips = [
            self._clip(path, recipes) if low is None else self._pair(path, low)
            for path in clip_paths(folder)
        ]
        if settings.valid is None:
            clips = [clip.part(slice(self._held_out(clip), None)) for clip in clips]
        if recipes and settings.stills is not None:
            noisy = [replace(recipe, noise=1.0) for recipe in recipes]
            photographs = still_paths(settings.stills)[::VALID_STILLS]
            clips += [self._clip(path, noisy, Motion()) for path in photographs]
        side = self.facts.scale * self.facts.multiple
        for clip in clips:
            frames, _, height, width = clip.pixels.shape
            if frames < self.facts.window or min(height, width) < side:
                raise InputError(
                    f"validation clip {clip.name}: got {frames} frames of {width}x{height} pixels, "
                    f"allowed are {self.facts.window} and more of {side}x{side} and more"
                )
        return clips

    def _held_out(self, clip: Clip) -> int:
        """The first frame that is held out."""
        return round(len(clip.pixels) * (1 - self.settings.held_out))

    def _drawn(self, path: Path, count: int) -> list[Recipe] | None:
        """So many recipes for a file; None where no camera codes it."""
        degrade, name = self.settings.degrade, crc32(path.name.encode())
        if degrade is None:
            return None
        return [drawn(degrade, (self.seed, name, number)) for number in range(count)]

    def _clips(
        self, path: Path, recipes: Sequence[Recipe] | None, motion: Motion | None = None
    ) -> list[Clip]:
        """The clip once for each frame rate that cameras show it at; recipes None: not coded."""
        if recipes is None:
            return [self._clip(path, None, motion)]
        clips = []
        for every in sorted({recipe.every for recipe in recipes}):
            alike = [recipe for recipe in recipes if recipe.every == every]
            clip = self._clip(path, alike, motion)
            weight = every**0.5 * len(alike) / len(recipes)  # it has fewer frames
            clips.append(replace(clip, pixels=clip.pixels[::every], weight=weight))
        return clips

    def _clip(
        self, path: Path, recipes: Sequence[Recipe] | None, motion: Motion | None = None
    ) -> Clip:
        """The clip at ``path``, or with a motion the still there; recipes None: not coded."""
        most, scale = self.settings.clip_frames, self.facts.scale

        @cache  # read once, and only where something is missing
        def scene() -> list[Frame]:
            frames = list(islice(moving(path, motion) if motion else file_frames(path), most))
            if not frames:
                raise InputError(f"{path}: there is no frame in it")
            return frames

        def coded(recipes: Sequence[Recipe]) -> Pixels:
            fit = [fitted(frame, 2 * scale) for frame in scene()]
            return np.stack([self._stacked(degraded(fit, scale, recipe)) for recipe in recipes])

        kind = f"{motion}|{self.facts.colour}" if motion else str(self.facts.colour)
        if most is not None:
            kind += f"|{most} frames"
        clip = Clip(path.stem, self._cached(path, kind, lambda: self._stacked(scene())))
        if recipes is not None:
            kind += f"|x{scale}|{list(recipes)}"
            low = self._cached(path, kind, lambda: coded(recipes))
            height, width = (scale * side for side in low.shape[3:])
            clip = Clip(path.stem, clip.pixels[:, :, :height, :width], low)
        self.report(clip.name)
        return clip

    def _pair(self, path: Path, low: Path) -> Clip:
        """A clip, and in place of a coding the one of its name in ``low``.

        Raises InputError where there is none, or it does not fit.
        """
        (pair,) = clip_pairs(path, _namesake(path, low))
        most, scale = self.settings.clip_frames, self.facts.scale

        @cache
        def frames() -> list[tuple[Frame, Frame]]:
            return list(islice(pair.frames(scale), most))

        assert pair.low is not None
        known = pair.low.stat()
        kind = f"{self.facts.colour}|{most} frames|{pair.low}|{known.st_size}|{known.st_mtime_ns}"
        truth = self._cached(path, kind, lambda: self._stacked(frame for _, frame in frames()))
        seen = self._cached(
            path, f"{kind}|x{scale}", lambda: self._stacked(frame for frame, _ in frames())
        )
        self.report(path.stem)
        return Clip(path.stem, truth, seen[None])

    def _stacked(self, frames: Iterable[Frame]) -> Pixels:
        return np.stack([pixels_of(frame, self.facts.colour) for frame in frames])

    def _cached(self, path: Path, kind: str, make: Callable[[], Pixels]) -> Pixels:
        """What ``make`` returns, out of the cache where it is there already.

        The key holds all that would make it other pixels: the file, and ``kind``.
        """
        folder, stat = self.settings.cache, path.stat()
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{kind}"
        target = folder / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npy"
        if not target.exists():
            pixels = make()
            make_folder(folder)
            with whole_file(target) as file:
                np.save(file, pixels)
        return open_memmap(target, mode="r")


def _namesake(path: Path, folder: Path) -> Path:
    """The clip of ``folder`` that is called as ``path`` is. Raises InputError."""
    for other in clip_paths(folder):
        if other.stem == path.stem:
            return other
    raise InputError(
        f"clips {folder}: there is no {path.stem}, allowed are the clips of {path.parent}"
    )


def _roots(clips: list[Clip]) -> float:
    return sum(float(clip.weight * clip.pixels.size**0.5) for clip in clips)
