"""Capture: where a live source's time begins."""

import threading
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.core.settings import LimitSettings
from streamsr.media.source import AudioFrame, Item, MediaSource, Piece, SourceInfo
from streamsr.pipeline.capture import Capture
from streamsr.pipeline.latency_budget import LatencyBudget

TICKS = Fraction(1, 90_000)


class Scripted(MediaSource):
    """Gives audio and a frame every 40 ms; models are ready before the frame of that number."""

    name = "scripted"

    def __init__(self, *, live: bool, ready_before: int) -> None:
        self.live = live
        self.capture: Capture | None = None
        self._ready_before = ready_before

    def items(self, stop: threading.Event) -> Iterator[Item]:
        assert self.capture is not None
        yield SourceInfo(32, 18, Fraction(25), Fraction(1), "h264", "yuv420p")
        y, chroma = np.zeros((18, 32), np.uint8), np.zeros((9, 16), np.uint8)
        for number in range(8):
            if number == self._ready_before:
                self.capture.ready.set()
            yield AudioFrame(number / 25 + 0.03, "aac")  # it is ahead, as some cameras send it
            yield Frame((y, chroma, chroma), ColourTags(), 3600 * number, TICKS)


def captured(source: Scripted) -> tuple[list[float], list[float]]:
    """The times of frames and of audio, in seconds."""
    heard: list[Piece] = []
    capture = source.capture = Capture(
        source,
        Meter(),
        LimitSettings(),
        audio=heard.append,
        coming=lambda: None,
        tell=lambda code, message: None,
        paced=False,
    )
    capture.read()
    budget, frames = LatencyBudget(60.0), []
    while (frame := capture.next(budget)) is not None:
        frames.append(frame.time_s)
    return frames, [round(piece.time_s, 6) for piece in heard]


def test_a_live_source_counts_from_the_first_frame_that_is_begun_with() -> None:
    """A file that it is written to starts with it, and not with the seconds that models took."""
    frames, heard = captured(Scripted(live=True, ready_before=3))
    assert frames == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert heard == [0.07, 0.11, 0.15, 0.19]


def test_a_file_keeps_its_times() -> None:
    frames, heard = captured(Scripted(live=False, ready_before=0))
    assert frames == [n / 25 for n in range(8)]
    assert heard == [round(n / 25 + 0.03, 6) for n in range(8)]
