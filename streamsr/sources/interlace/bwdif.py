"""FFmpeg's bwdif over one run of images, and what is known of each image meanwhile."""

from __future__ import annotations  # av.VideoFormat has no type arguments at run time

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.filter import Graph

from streamsr.core.frame import Frame
from streamsr.media.depth import DepthConverter
from streamsr.media.orientation import Orientation
from streamsr.media.pixels import from_av
from streamsr.sources.interlace.combs import without_combs
from streamsr.sources.interlace.scan import Verdict

__all__ = ["Bwdif", "DueImage"]

MOST_APART_S = Fraction(1, 40)  # two fields of a frame
TICKS = Fraction(1, 1000)  # of the filter, which only counts


@dataclass(frozen=True, slots=True)
class DueImage:
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


class Bwdif:
    """bwdif over one run of images: it gives each image back when the next one comes."""

    def __init__(self, image: av.VideoFrame, parity: str, *, fields: bool) -> None:
        self._shape = _shape(image)
        self._parity = parity
        self._fields = fields
        self._held: deque[tuple[DueImage, bool]] = deque()  # in the filter; the bool: kept as it is
        self._before: av.VideoFrame | None = None  # the last one that came out
        self._pushed = 0
        self._following: int | None = None  # pts of what comes after the filter's last image
        self._apart = 1  # the fields of a frame, in units of half the time base
        self._graph = _graph(image, parity, "send_field" if fields else "send_frame")

    def takes(self, due: DueImage, parity: str | None) -> bool:
        """Whether it can go on with an image."""
        alike = parity == self._parity and _shape(due.image) == self._shape
        return alike and not due.discontinuous

    def frames(self, due: DueImage, *, keeps: bool) -> Iterator[Frame]:
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
