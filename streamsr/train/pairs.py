"""Clips to be scored: ground truth, and what is seen of it where a set has that, as BIx4 is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.media.source import SourceInfo
from streamsr.sources.opening import file_frames, file_items
from streamsr.train.files import target_paths

__all__ = ["ClipPair", "clip_pairs", "common_scale"]


@dataclass(frozen=True, slots=True)
class ClipPair:
    """A clip's ground truth: a file or a folder of PNG frames, and the same clip as it is seen."""

    truth: Path
    low: Path | None = None  # None: to be made of the truth

    @property
    def name(self) -> str:
        return _name(self.truth)

    def frames(self, scale: int) -> Iterator[tuple[Frame, Frame]]:
        """Yields what is seen and the truth, frame by frame, which is ``scale`` times as large.

        Raises InputError where one of them ends first, or a size or a kind does not fit.
        """
        assert self.low is not None
        pairs = zip_longest(file_frames(self.low), file_frames(self.truth))
        for number, (low, truth) in enumerate(pairs):
            if low is None or truth is None:
                ended, other = (self.low, self.truth) if low is None else (self.truth, self.low)
                raise InputError(f"clip {ended}: got {number} frames, {other} has more")
            got = self._scale_of(low, truth)
            if got != scale:
                raise InputError(
                    f"clip {self.truth}, frame {number}: it is {got} times as large as {self.low}, "
                    f"allowed is {scale}"
                )
            yield low, truth

    def scale(self) -> int:
        """Returns how many times as large the truth is, by the first frames.

        Raises InputError where that is no whole number, or two folders hold unequal numbers.
        """
        assert self.low is not None
        (low_count, low), (count, truth) = (_opened(place) for place in (self.low, self.truth))
        if low_count and count and low_count != count:
            raise InputError(
                f"clip {self.low}: got {low_count} frames, allowed are {count}, as in {self.truth}"
            )
        return self._scale_of(low, truth)

    def _scale_of(self, low: Frame, truth: Frame) -> int:
        if low.is_rgb != truth.is_rgb:
            kinds = ["R'G'B'" if frame.is_rgb else "Y'CbCr" for frame in (low, truth)]
            raise InputError(
                f"clip {self.low}: got {kinds[0]}, allowed is {kinds[1]}, as in {self.truth}"
            )
        scale = max(1, truth.height // low.height)
        if (scale * low.width, scale * low.height) != (truth.width, truth.height):
            raise InputError(
                f"clip {self.low}: got {low.width}x{low.height} pixels for the "
                f"{truth.width}x{truth.height} of {self.truth}, allowed are sides that go into "
                "those a whole number of times, the same for both"
            )
        return scale


def clip_pairs(target: Path, low: Path | None = None) -> list[ClipPair]:
    """Returns the clips of ``target``: a clip, or a folder of clips; ``low`` holds the same ones.

    Raises InputError where there is none, and where the two do not hold clips of the same names.
    """
    truths = target_paths(target)
    if low is None:
        return [ClipPair(truth) for truth in truths]
    lows = target_paths(low)
    if truths == [target] and lows == [low]:
        return [ClipPair(target, low)]
    seen = {_name(place): place for place in lows}
    names = [_name(place) for place in truths]
    for place, missing in (
        (low, [name for name in names if name not in seen]),
        (target, [name for name in seen if name not in names]),
    ):
        if missing:
            raise InputError(
                f"clips {target} and {low}: {place} has no {', '.join(missing[:3])}"
                f"{', …' if len(missing) > 3 else ''}; allowed are clips of the same names"
            )
    return [ClipPair(truth, seen[name]) for truth, name in zip(truths, names, strict=True)]


def common_scale(pairs: Sequence[ClipPair]) -> int:
    """Returns how many times as large the truth of all ``pairs`` is. Raises InputError where that
    differs, or is no whole number."""
    scale = pairs[0].scale()
    for pair in pairs[1:]:
        if (other := pair.scale()) != scale:
            raise InputError(
                f"clip {pair.truth}: it is {other} times as large as {pair.low}, allowed is "
                f"{scale}, as {pairs[0].truth} is"
            )
    return scale


def _name(place: Path) -> str:
    return place.resolve().name if place.is_dir() else place.stem


def _opened(place: Path) -> tuple[int, Frame]:
    """How many frames a folder has, 0 for a file, and the first one."""
    count = 0
    for item in file_items(place):
        if isinstance(item, SourceInfo):
            count = len(item.names)
        elif isinstance(item, Frame):
            return count, item
    raise InputError(f"clip {place}: there is no frame in it")
