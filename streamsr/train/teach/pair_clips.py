"""Pairs of frames as clips on a disk: those to train on, to choose by, and to judge by.

Each kind is a folder with ``truth`` and ``low`` of clips of the same names, as `eval` and `train`
read them; those to judge by are the last ones of the recording, which nothing else sees.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.core.settings import InputSettings
from streamsr.train.frames import fitted
from streamsr.train.teach.alignment import Alignment
from streamsr.train.teach.lossless import LosslessWriter
from streamsr.train.teach.recording import Recorded
from streamsr.train.teach.thumbnails import numbered_frames
from streamsr.train.teach.truth import Grid
from streamsr.train.whole_file import make_folder

__all__ = ["LOW", "TRUTH", "PairClip", "Use", "planned", "write_pairs"]

LOW, TRUTH = "low", "truth"
RATE = Fraction(25)  # of the clips: how fast they are played means nothing
TRAINED, CHOSEN = 0.7, 0.8  # shares of the recording at which a kind ends
CLIP = 50  # frames of a clip to train on
SHORT = {"choose": (6, 16), "unseen": (8, 25)}  # clips of the others, and their frames
BEHIND = 16  # frames of the main stream that a match may lie before the newest


class Use(StrEnum):
    """What pairs are for."""

    TRAIN = "train"
    CHOOSE = "choose"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class PairClip:
    """Frames in a row of the sub-stream, and the main stream's of each."""

    part: Use
    subs: NDArray[np.int64]
    mains: NDArray[np.int64]


def planned(alignment: Alignment, most: int, least: int, share: float = 1.0) -> list[PairClip]:
    """Returns the clips of a recording, in order: ``most`` frames to train on at most, spread over
    its time; no clip is shorter than ``least`` frames. ``share``: of the others that are made.

    Raises InputError where one kind has none.
    """
    matches, sub, main = alignment.matches, alignment.sub, alignment.main
    subs, mains = sub.numbers[matches.subs], main.numbers[matches.mains]
    times = sub.times[matches.subs]
    begin, end = float(times[0]), float(times[-1])
    shares = (times - begin) / max(end - begin, 1e-9)
    parts = np.digitize(shares, (TRAINED, CHOSEN))
    clips: list[PairClip] = []
    for number, part in enumerate(Use):
        length, count = max(least, CLIP), max(1, most // max(least, CLIP))
        if part is not Use.TRAIN:
            usual, frames = SHORT[part]
            length, count = max(least, round(share * frames)), max(2, round(share * usual))
        pieces = [*_pieces(np.flatnonzero(parts == number), subs, length, least)]
        if not pieces:
            raise InputError(
                f"main and sub: {end - begin:.1f} s have no {least} matched frames in a row to "
                f"{'train on' if part is Use.TRAIN else 'judge by'}: record for longer"
            )
        spread = np.unique(
            np.linspace(0, len(pieces) - 1, min(count, len(pieces))).round().astype(int)
        )
        clips += [PairClip(part, subs[pieces[i]], mains[pieces[i]]) for i in spread]
    return clips


def _pieces(
    indices: NDArray[np.int64], subs: NDArray[np.int64], length: int, least: int
) -> Iterator[NDArray[np.int64]]:
    """Runs of matched frames without a gap, cut to at most ``length``."""
    if not len(indices):
        return
    ends = np.flatnonzero(np.diff(subs[indices]) != 1) + 1
    for run in np.split(indices, ends):
        for start in range(0, len(run), length):
            piece = run[start : start + length]
            if len(piece) >= least:
                yield piece


def write_pairs(
    recorded: Recorded,
    clips: Sequence[PairClip],
    grid: Grid,
    folder: Path,
    report: Callable[[int], None] = lambda frames: None,
) -> None:
    """Writes clips below ``folder``: PART/truth/NAME.mkv and PART/low/NAME.mkv.

    ``report`` is called with the frames written so far, for each that is read. Raises OutputError.
    """
    written = 0

    def read() -> None:
        report(written)

    mains, subs = _Reader(recorded.main, read), _Reader(recorded.sub, read)
    for number, clip in enumerate(clips):
        places = [folder / clip.part / kind for kind in (TRUTH, LOW)]
        for place in places:
            make_folder(place)
        truths, lows = (LosslessWriter(place / f"{number:03}.mkv") for place in places)
        with truths, lows:
            for place_s, (sub, main) in enumerate(zip(clip.subs, clip.mains, strict=True)):
                low = grid.low(fitted(subs.frame(int(sub)), 2))
                truth = grid.truth(fitted(mains.frame(int(main)), 2), low)
                for writer, frame in ((truths, truth), (lows, low)):
                    writer.write(frame, float(place_s / RATE))
                written += 1
    report(written)


class _Reader:
    """The frames of a file by their number, which may fall back by a few; ``read`` is called at
    each."""

    def __init__(self, settings: InputSettings, read: Callable[[], None]) -> None:
        self._frames, self._read = numbered_frames(settings), read
        self._kept: deque[tuple[int, Frame]] = deque(maxlen=BEHIND)

    def frame(self, number: int) -> Frame:
        """Returns a frame that was there when the file was first read."""
        for known, frame in self._kept:
            if known == number:
                return frame
        for known, frame in self._frames:
            self._read()
            self._kept.append((known, frame))
            if known == number:
                return frame
        raise InputError(f"frame {number}: the file has become shorter while it was read")
