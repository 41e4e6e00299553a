"""Deinterlacing: between a decoder's images and the frames that are made of them.

It owns FFmpeg's bwdif; ``scan.py`` finds out whether there is anything to do, and ``combs.py``
removes what bwdif leaves. Progressive images pass as they are, those of a live source at once.
"""

from __future__ import annotations  # av.VideoFormat has no type arguments at run time

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import av
from av.filter import Graph

from streamsr.core.frame import Frame
from streamsr.media.depth import DepthConverter
from streamsr.media.orientation import UPRIGHT, Orientation
from streamsr.media.pixels import from_av, luma_rows
from streamsr.media.source import SourceInfo
from streamsr.sources.interlace.combs import without_combs
from streamsr.sources.interlace.scan import ScanFinder, Verdict

__all__ = ["Deinterlace", "Deinterlacer"]

Deinterlace = Literal["auto", "off", "frame", "field"]

AHEAD = 16  # images that a file is read ahead, to know before the first one is used
MOST_LINES = 1088  # no taller format is interlaced
FEWEST_LINES_UNFLAGGED, MOST_RATE_UNFLAGGED = 240, 31  # of what may hold two fields
FEWEST = 16  # lines and columns: bwdif wants 4 and 3, of chroma too
COLUMNS = 128  # of an image, that are looked at
STALE_S = 1.0  # a frame so much older than the next is not shown any more
MOST_APART_S = Fraction(1, 40)  # two fields of a frame
TICKS = Fraction(1, 1000)  # of the filter, which only counts
PARITY = {Verdict.TOP_FIRST: "tff", Verdict.BOTTOM_FIRST: "bff"}  # else as each frame is flagged


@dataclass(frozen=True, slots=True)
class _Image:
    """A decoded image, and what becomes of it."""

    image: av.VideoFrame
    verdict: Verdict
    pts: int
    time_base: Fraction
    arrived: float
    discontinuous: bool
    packet_bytes: int
    orientation: Orientation
    captured: float
    depth: DepthConverter

    def frame(self, image: av.VideoFrame | None = None) -> Frame:
        """Makes the frame, of what has become of the image where that is given."""
        lasts = (self.image.duration or 0) * (self.image.time_base or 0)  # seconds
        return from_av(
            self.depth.converted(image or self.image),
            pts=self.pts,
            time_base=self.time_base,
            arrived=self.arrived,
            discontinuous=self.discontinuous,
            packet_bytes=self.packet_bytes,
            orientation=self.orientation,
            duration=max(0, round(lasts / self.time_base)),
            captured=self.captured,
        )


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
        self._waiting: deque[_Image] = deque()  # decoded ahead
        self._filter: _Filter | None = None  # None: the last image was not deinterlaced
        self._info: SourceInfo | None = None
        self._told: str | None = None  # what ``_info`` said of it
        self._event = ""  # what the last event said of it

    def describe(self, info: SourceInfo) -> None:
        """Takes what the source is; ``frames`` gives it on before the next frame."""
        if self._info is None or self._info.size != info.size:
            self._finder = ScanFinder()
        self._info, self._told = info, None

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
        self._waiting.append(_Image(image, verdict, *facts, self._depth))
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

    def _released(self, due: _Image) -> Iterator[SourceInfo | Frame]:
        yield from self._described()
        wanted = self._parity(due.image)
        if self._filter is not None and not self._filter.takes(due, wanted):
            yield from self._finished(due)
        if wanted is None:
            yield due.frame()
            return
        if self._filter is None:
            self._filter = _Filter(due.image, wanted, fields=self._mode == "field")
        keeps = self._finder.mixed and due.verdict is Verdict.WHOLE
        yield from self._filter.frames(due, keeps=keeps)

    def _finished(self, following: _Image) -> Iterator[Frame]:
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


class _Filter:
    """bwdif over one run of images: it gives each image back when the next one comes."""

    def __init__(self, image: av.VideoFrame, parity: str, *, fields: bool) -> None:
        self._shape = _shape(image)
        self._parity = parity
        self._fields = fields
        self._held: deque[tuple[_Image, bool]] = deque()  # in the filter; the bool: kept as it is
        self._before: av.VideoFrame | None = None  # the last one that came out
        self._pushed = 0
        self._following: int | None = None  # pts of what comes after the filter's last image
        self._apart = 1  # the fields of a frame, in units of half the time base
        self._graph = _graph(image, parity, "send_field" if fields else "send_frame")

    def takes(self, due: _Image, parity: str | None) -> bool:
        """Whether it can go on with an image."""
        alike = parity == self._parity and _shape(due.image) == self._shape
        return alike and not due.discontinuous

    def frames(self, due: _Image, *, keeps: bool) -> Iterator[Frame]:
        """Takes the next image. ``keeps``: it is whole, only its neighbours need it."""
        self._held.append((due, keeps))
        pts, base = due.image.pts, due.image.time_base
        due.image.pts, due.image.time_base = self._pushed, TICKS
        self._graph.push(due.image)
        due.image.pts, due.image.time_base = pts, base or TICKS
        self._pushed += 1
        yield from self._pulled()

    def flush(self, following: int | None = None) -> Iterator[Frame]:
        """Ends it. ``following`` is the pts of what comes next, where anything does."""
        self._following = following
        self._graph.push(None)
        yield from self._pulled()

    def _pulled(self) -> Iterator[Frame]:
        while True:
            try:
                made = [self._graph.vpull() for _ in range(1 + self._fields)]
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            due, keeps = self._held.popleft()
            now, after = due.image, self._held[0][0].image if self._held else due.image
            for image in made:
                without_combs(image, self._before or now, now, after)
            self._before = now
            if self._fields:
                yield from self._two(*map(due.frame, made))
            else:
                yield due.frame(None if keeps else made[0])

    def _two(self, first: Frame, second: Frame) -> Iterator[Frame]:
        """The frames of a frame's fields, half of its time apart."""
        following = self._held[0][0].pts if self._held else self._following
        if following is not None:  # else what it was before holds
            most = round(2 * MOST_APART_S / first.time_base)  # in units of half the time base
            self._apart = max(1, min(most, following - first.pts))
        half = replace(first, pts=2 * first.pts, time_base=first.time_base / 2)
        size = first.packet_bytes // 2
        yield replace(half, packet_bytes=first.packet_bytes - size)
        yield replace(
            half,
            planes=second.planes,
            pts=half.pts + self._apart,
            discontinuous=False,
            packet_bytes=size,
            keyframe=False,
        )


def _shape(image: av.VideoFrame) -> tuple[int, int, str, int, int]:
    size, colour = (image.width, image.height), (int(image.colorspace), int(image.color_range))
    return (*size, image.format.name, *colour)


def _graph(image: av.VideoFrame, parity: str, mode: str) -> Graph:
    graph = Graph()
    graph.threads = 1  # cores belong to the network
    width, height, pixels, matrix, span = _shape(image)
    buffer = graph.add(
        "buffer",
        video_size=f"{width}x{height}",
        pix_fmt=pixels,
        time_base=str(TICKS),
        colorspace=str(matrix),
        range=str(span),
    )
    bwdif = graph.add("bwdif", mode=mode, parity=parity, deint="all")
    graph.link_nodes(buffer, bwdif, graph.add("buffersink")).configure()
    return graph
