"""Decoded images of a file as frames, each at its place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from streamsr.core.frame import Frame
from streamsr.media.orientation import Orientation, OrientationTracker
from streamsr.media.source import DEFAULT_RATE, PacketSizes, SourceInfo, nominal_rate
from streamsr.sources.interlace.deinterlace import Deinterlacer
from streamsr.sources.timing.frame_times import FrameTimes
from streamsr.sources.timing.stamps import StampChoice

__all__ = ["DecodedFrames"]

COARSEST = Fraction(1, 1000)  # a frame whose stamp is wrong fits between two others
FINEST = Fraction(1, 90_000)
"""A time base that every container holds for as long as an input may pause."""


class DecodedFrames:
    """Makes frames of one stream's decoded images, each at its place, strictly rising."""

    def __init__(
        self, video: av.VideoStream, deinterlacer: Deinterlacer, *, shown: bool = True
    ) -> None:
        """``shown``: its presentation times are the file's own."""
        self.orientations = OrientationTracker()
        self._deinterlacer = deinterlacer
        self._native = video.time_base or FINEST  # of packets and images
        self._base = max(self._native / math.ceil(self._native / COARSEST), FINEST)
        self.step_s = 1 / nominal_rate(video)
        usual = round(1 / (video.guessed_rate or DEFAULT_RATE) / self._native)
        self._times = FrameTimes(self._base, round(self.step_s / self._base))
        self._sizes = PacketSizes()
        self._choice = StampChoice(shown=shown, step=usual)
        self._lasts = None if shown else usual  # AVI says that of a field
        self._joined: int | None = None  # stamp at which another segment begins

    @property
    def faultless(self) -> bool:
        """Whether their stamps were as they are to be."""
        return self._choice.faultless

    @property
    def moved(self) -> int:
        """Frames that are not where their stamps say."""
        return self._times.moved

    def note(self, packet: av.Packet[Any], begins: bool) -> None:
        """Takes a packet that is decoded next, and whether a joined segment begins with it."""
        self._sizes.note(packet)
        self._choice.note(packet.dts)
        if begins:
            self._joined = packet.pts if packet.pts is not None else packet.dts

    def of(self, image: av.VideoFrame, orientation: Orientation) -> Iterator[SourceInfo | Frame]:
        """Takes a decoded image and yields what is due."""
        image.duration = image.duration if self._lasts is None else self._lasts
        stamp = self._choice.best(image.pts, image.dts)
        joined = self._joined is not None and stamp is not None and stamp >= self._joined
        if joined:
            self._joined = None
        if stamp is not None:
            stamp = round(stamp * self._native / self._base)
        return self._deinterlacer.frames(
            image,
            pts=self._times.placed(stamp),
            time_base=self._base,
            discontinuous=joined,
            packet_bytes=self._sizes.of(image),
            orientation=orientation,
        )
