"""Deinterlacing: between a decoder's images and the frames that are made of them.

``bwdif.py`` does it; ``scan.py`` finds out whether there is anything to do, and ``combs.py``
removes what bwdif leaves. Progressive images pass as they are, those of a live source at once.
"""

from __future__ import annotations  # av.VideoFormat has no type arguments at run time

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import av

from streamsr.core.frame import Frame
from streamsr.media.depth import DepthConverter
from streamsr.media.orientation import UPRIGHT, Orientation
from streamsr.media.pixels import luma_rows
from streamsr.media.source import SourceInfo
from streamsr.sources.interlace.bwdif import Bwdif, DueImage
from streamsr.sources.interlace.scan import ScanFinder, Verdict

__all__ = ["Deinterlace", "Deinterlacer"]

Deinterlace = Literal["auto", "off", "frame", "field"]

AHEAD = 16  # images that a file is read ahead, to know before the first one is used
MOST_LINES = 1088  # no taller format is interlaced
FEWEST_LINES_UNFLAGGED, MOST_RATE_UNFLAGGED = 240, 31  # of what may hold two fields
FEWEST = 16  # lines and columns: bwdif wants 4 and 3, of chroma too
COLUMNS = 128  # of an image, that are looked at
STALE_S = 1.0  # a frame so much older than the next is not shown any more
PARITY = {Verdict.TOP_FIRST: "tff", Verdict.BOTTOM_FIRST: "bff"}  # else as each frame is flagged


class Deinterlacer:
    """One source's images on their way to frames.

    ``tell`` is called with what becomes an event. ``waits``: the source can be read ahead.
    ``bits`` are those of ``DepthConverter``.
    """

    def __init__(
        self,
        mode: Deinterlace,
        tell: Callable[[str], None],
        *,
        waits: bool,
        bits: int | None = 8,
    ) -> None:
        self._mode = mode
        self._tell = tell
        self._waits = waits
        self._depth = DepthConverter(bits, waits=waits)
        self._finder = ScanFinder()
        self._waiting: deque[DueImage] = deque()  # decoded ahead
        self._filter: Bwdif | None = None  # None: the last image was not deinterlaced
        self._info: SourceInfo | None = None
        self._told: str | None = None  # what ``_info`` said of it
        self._event = ""  # what the last event said of it

    def describe(self, info: SourceInfo, *, restored: bool = False) -> None:
        """Takes what the source is; ``frames`` gives it on before the next frame. ``restored``: its
        state will be."""
        if self._info is None or self._info.size != info.size:
            self._finder = ScanFinder()
            self._finder.sees_all = restored
        self._info, self._told = info, None

    @property
    def state(self) -> dict[str, Any] | None:
        """What another one needs to go on with the next image, in plain values; None where the
        source may be interlaced."""
        scan = self._finder.state
        if scan is None or self._filter is not None:
            return None
        return {"scan": scan, "waiting": [image.verdict.value for image in self._waiting]}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Goes on from ``state`` of another one that has taken the same images; returns False
        where it cannot."""
        verdicts = [Verdict(value) for value in state["waiting"]]
        if len(verdicts) != len(self._waiting) or self._filter is not None:
            return False
        both = zip(self._waiting, verdicts, strict=True)
        self._waiting = deque(replace(image, verdict=verdict) for image, verdict in both)
        return self._finder.restore(state["scan"])

    def frames(
        self,
        image: av.VideoFrame,
        *,
        pts: int,
        time_base: Fraction,
        arrived: float = 0.0,
        discontinuous: bool = False,
        packet_bytes: int = 0,
        orientation: Orientation = UPRIGHT,
        captured: float = 0.0,
    ) -> Iterator[SourceInfo | Frame]:
        """Takes the next image, its facts as in ``Frame``, and yields the frames that are due."""
        facts = pts, time_base, arrived, discontinuous, packet_bytes, orientation, captured
        verdict = self._look(image, discontinuous)
        self._waiting.append(DueImage(image, verdict, *facts, self._depth))
        ahead = AHEAD if self._waits and self._looks_at(image) else 0
        while len(self._waiting) > ahead:
            yield from self._released(self._waiting.popleft())

    def flush(self) -> Iterator[SourceInfo | Frame]:
        """Yields what is left, at the end of the source."""
        while self._waiting:
            yield from self._released(self._waiting.popleft())
        if self._filter is not None:
            yield from self._filter.flush()
            self._filter = None

    def _looks_at(self, image: av.VideoFrame) -> bool:
        if self._mode == "off" or image.height > MOST_LINES:
            return False
        slow = self._info is None or self._info.rate <= MOST_RATE_UNFLAGGED
        return self._finder.flagged or (slow and image.height >= FEWEST_LINES_UNFLAGGED)

    def _look(self, image: av.VideoFrame, cut: bool) -> Verdict:
        self._finder.flagged |= image.interlaced_frame
        if not self._looks_at(image):
            return Verdict.NOTHING
        if cut:
            self._finder.cut()
        if not self._finder.wants:
            self._finder.skip()
            return Verdict.NOTHING
        return self._finder.see(luma_rows(image, COLUMNS))

    def _released(self, due: DueImage) -> Iterator[SourceInfo | Frame]:
        yield from self._described()
        wanted = self._parity(due.image)
        if self._filter is not None and not self._filter.takes(due, wanted):
            yield from self._finished(due)
        if wanted is None:
            yield due.frame()
            return
        if self._filter is None:
            self._filter = Bwdif(due.image, wanted, fields=self._mode == "field")
        keeps = self._finder.mixed and due.verdict is Verdict.WHOLE
        yield from self._filter.frames(due, keeps=keeps)

    def _finished(self, following: DueImage) -> Iterator[Frame]:
        """Ends the filter, without a frame that is long over when the next one comes."""
        assert self._filter is not None
        for frame in self._filter.flush(following.pts):
            if frame.arrived >= following.arrived - STALE_S:
                yield frame
        self._filter = None

    def _parity(self, image: av.VideoFrame) -> str | None:
        """Which field is the first one, as bwdif calls it; None where nothing is to be done."""
        if min(image.height, image.width) < FEWEST or self._mode == "off":
            return None
        if self._mode == "auto" and not self._interlaced:
            return None
        return PARITY[self._finder.order] if self._finder.order is not None else "auto"

    @property
    def _interlaced(self) -> bool:
        found = self._finder.interlaced
        return self._finder.flagged if found is None else found

    def _scan(self) -> str:
        """What the source is found to be."""
        if self._mode == "off":
            return ""
        if self._finder.interlaced is None:
            return "flagged as interlaced" if self._finder.flagged else "progressive"
        if self._finder.interlaced:
            return f"interlaced, {(self._finder.order or Verdict.SOME_FIRST).value}"
        return "progressive" + (", flagged as interlaced" if self._finder.flagged else "")

    def _described(self) -> Iterator[SourceInfo]:
        """Says what the source is where that is new."""
        scan = self._scan()
        if self._info is None or scan == self._told:
            return
        self._told = scan
        if self._mode == "auto" and self._interlaced and scan != self._event:
            self._event = scan
            self._tell(f"the video is {scan}: deinterlaced by bwdif, as input.deinterlace allows")
        by = 2 if self._mode == "field" else 1
        frames = self._info.frames and self._info.frames * by
        yield replace(self._info, rate=self._info.rate * by, frames=frames, scan=scan)
