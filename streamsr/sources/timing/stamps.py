"""The time stamps of a container's packets: what they are worth, and where they go."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from types import MappingProxyType
from typing import Any

import av
from av.stream import Stream

from streamsr.sources.timing.timeline import Placed, Timeline, TimePolicy

__all__ = ["PacketTimes", "PiecePlaces", "StampChoice", "StampKind", "kept_of", "kind_of_stamps"]

MPEG_WRAP_S = Fraction(2**33, 90_000)  # ISO/IEC 13818-1, 2.4.3.6: 26.5 h
FLV_WRAP_S = Fraction(2**32, 1000)  # FLV 10.1: milliseconds in 32 bits
WRAPS = {"mpegts": MPEG_WRAP_S, "mpeg": MPEG_WRAP_S, "hls": MPEG_WRAP_S}
WRAPS |= {"flv": FLV_WRAP_S, "live_flv": FLV_WRAP_S}
DECODING_ALONE = {"avi"}  # formats that number packets as they are coded
NO_TIMESTAMPS, TS_DISCONT = 0x80, 0x200  # of a format's flags in FFmpeg's avformat.h
JOINED_GAP_S = 10.0  # FFmpeg's own, of formats whose stamps may jump
KEPT_GAP_S = 3600.0
MOST_WAITING = 500  # packets between two of one track
MOST_DELAYED = 4  # frames, by reordering; more before the first one are not decodable
LEADING = ("video", "audio")  # tracks that say where time is
NO_TIME, HALF = Fraction(0), Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class StampKind:
    """How a container's stamps are to be read."""

    wrap_s: Fraction | None  # seconds at which they begin again
    gap_s: float  # the longest gap that is meant, where the user says nothing
    invented: bool  # by the demuxer: the format has none
    shown: bool = True  # there are presentation times: else FFmpeg guesses them, and wrongly


def kind_of_stamps(container: av.container.InputContainer) -> StampKind:
    """Returns what ``container``'s stamps are worth.

    Formats that are joined byte by byte have stamps that may jump. In others a gap is written on
    purpose, as by a recorder that waits for motion.
    """
    flags = container.format.flags
    return StampKind(
        wrap_s=WRAPS.get(container.format.name),
        gap_s=JOINED_GAP_S if flags & TS_DISCONT else KEPT_GAP_S,
        invented=bool(flags & NO_TIMESTAMPS),
        shown=container.format.name not in DECODING_ALONE,
    )


def kept_of(packet: av.Packet[Any]) -> av.Packet[Any]:
    """Returns a packet that is decoded and shown, of what follows a join.

    FFmpeg holds it against the edit list of the first of joined files, and has it left out.
    """
    if not packet.is_discard:
        return packet
    kept: av.Packet[Any] = av.Packet(bytes(packet))
    kept.stream, kept.time_base = packet.stream, packet.time_base
    kept.pts, kept.dts, kept.duration = packet.pts, packet.dts, packet.duration
    kept.is_keyframe = packet.is_keyframe
    return kept


class PacketTimes:
    """Puts the packets of one open file, in the order they are read, on its timeline."""

    def __init__(
        self,
        container: av.container.InputContainer,
        max_gap_s: float | None,
        start: Fraction | None = None,
        heirs: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """``max_gap_s``: the longest gap that is meant; None: as the format suggests.
        ``start``: the stamp, in seconds, that is second 0; None: the container's. ``heirs``: by a
        stream's index that of the one in whose place it is, and whose time goes on with it."""
        kind = kind_of_stamps(container)
        self._heirs = heirs
        self.strays = 0  # stamps that were taken away
        self._timeline = Timeline(
            Fraction(container.start_time or 0, av.time_base) if start is None else start,
            TimePolicy(Fraction(kind.gap_s if max_gap_s is None else max_gap_s), kind.wrap_s),
        )

    def begin_at(self, place_s: Fraction) -> None:
        """States, before any packet, that those before a second of the stream were read."""
        self._timeline.end = place_s

    def steadied(self, packets: Iterable[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Yields packets as they come, each to be placed before the next is asked for.

        A stamp that stands alone is taken away: the next one of its track is where it was before.
        """
        coming = iter(packets)
        waiting: deque[av.Packet[Any]] = deque()
        while True:
            packet = waiting.popleft() if waiting else next(coming, None)
            if packet is None:
                return
            if self._is_stray(packet):
                following = self._following(packet, waiting, coming)
                if following is not None and not self._is_stray(following):
                    packet.pts = packet.dts = None
                    self.strays += 1
            yield packet

    def _following(
        self,
        packet: av.Packet[Any],
        waiting: deque[av.Packet[Any]],
        coming: Iterator[av.Packet[Any]],
    ) -> av.Packet[Any] | None:
        """The next packet with a stamp of the same track; what is read for it waits."""
        for other in waiting:
            if other.stream is packet.stream and other.size:
                return other
        for other in islice(coming, MOST_WAITING):
            waiting.append(other)
            if other.stream is packet.stream and other.size:
                return other
        return None

    def _is_stray(self, packet: av.Packet[Any]) -> bool:
        index, base = packet.stream.index, packet.time_base
        dts, pts = (None if t is None else t * base for t in (packet.dts, packet.pts))
        leads = packet.stream.type in LEADING and packet.size > 0
        return leads and self._timeline.is_stray(self._heirs.get(index, index), dts, pts)

    def place(self, packet: av.Packet[Any], usual_s: Fraction = NO_TIME) -> Placed:
        """Changes a packet's stamps to seconds of the stream, in units of its time base.

        ``usual_s``: how long it lasts where it does not say.
        """
        base = packet.time_base
        dts, pts = (None if t is None else t * base for t in (packet.dts, packet.pts))
        if packet.stream.type not in LEADING:
            return self._beside(packet, dts if pts is None else pts)
        index = packet.stream.index
        placed = self._timeline.place(
            self._heirs.get(index, index),
            dts,
            pts,
            packet.duration * base if packet.duration else usual_s,
            keyframe=packet.is_keyframe,
        )
        self.strays += pts is not None and placed.pts is None
        packet.dts, packet.pts = _ticks(placed.dts, base), _ticks(placed.pts, base)
        return placed

    def _beside(self, packet: av.Packet[Any], stamp: Fraction | None) -> Placed:
        place = None if stamp is None else self._timeline.beside(stamp)
        packet.dts = packet.pts = _ticks(place, packet.time_base)
        return Placed(place, place)


class PiecePlaces:
    """Where one track's packets begin, in their order: without a stamp, where the last one ends.

    FFmpeg knows neither all stamps nor how long a packet lasts where a transport stream's audio
    begins after what it has looked at: of a PES packet's frames the first alone has a stamp
    (ISO/IEC 13818-1, 2.4.3.7).
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._measure: av.AudioCodecContext | None = None  # made when a length is asked for
        self._last: av.Packet[Any] | None = None
        self._stamp: int | None = None  # the newest one
        self._begin_s = Fraction(0)  # of ``_last``

    def begin_s(self, packet: av.Packet[Any]) -> Fraction:
        """Returns the second at which a packet begins, its stamps being places already."""
        base, stamp = packet.time_base, packet.pts if packet.pts is not None else packet.dts
        last = self._last
        repeated = last is not None and not last.duration and stamp == self._stamp
        if stamp is None or repeated:
            begin_s = self._begin_s + (self._lasts_s(last) if last is not None else 0)
        else:
            begin_s = stamp * base
            self._stamp = stamp
        self._last, self._begin_s = packet, begin_s
        return begin_s

    def _lasts_s(self, packet: av.Packet[Any]) -> Fraction:
        """How long a packet lasts: by its samples where it does not say."""
        if packet.duration and packet.time_base is not None:
            return packet.duration * packet.time_base
        if not isinstance(self._stream, av.AudioStream):
            return Fraction(0)
        bare: av.Packet[Any] = av.Packet(bytes(packet))
        try:
            if self._measure is None:
                self._measure = _decoder_like(self._stream)
            frames = self._measure.decode(bare)
        except (av.FFmpegError, ValueError):
            return Fraction(0)
        return sum((Fraction(f.samples, f.sample_rate) for f in frames), Fraction(0))


class StampChoice:
    """Chooses between a decoded frame's two stamps: whichever has fallen less often.

    FFmpeg's own ``guess_correct_pts`` decides so too. Where a container has no presentation times
    (AVI), those that it guesses before it knows that frames are reordered count for nothing: the
    first frame is shown where the first packet is, and the others as far behind their decoding.
    """

    def __init__(self, *, shown: bool = True, step: int = 1) -> None:
        """``shown``: presentation times are the file's own. ``step``: a frame, in their units."""
        self._trusted = shown
        self._step = step
        self._begin: int | None = None  # of the first packet
        self._delay: int | None = None  # from there to the first frame's decoding time
        self._shown = _Falls()
        self._decoded = _Falls()

    @property
    def faultless(self) -> bool:
        """Whether neither of them has ever fallen."""
        return not self._shown.count and not self._decoded.count

    def note(self, dts: int | None) -> None:
        """Takes the decoding time of a packet that is decoded next."""
        self._begin = dts if self._begin is None else self._begin

    def best(self, pts: int | None, dts: int | None) -> int | None:
        """Returns the stamp of a frame, in the order they are shown; None where it has none."""
        if not self._trusted:
            return self._undelayed(dts)
        shown, decoded = self._shown.counted(pts), self._decoded.counted(dts)
        if pts is None and self._shown.known:  # the decoder's is that of a frame behind it
            return None
        if pts is None or dts is None:
            return dts if pts is None else pts
        return pts if shown <= decoded else dts

    def _undelayed(self, dts: int | None) -> int | None:
        if dts is None:
            return None
        if self._delay is None:
            delay = 0 if self._begin is None else dts - self._begin
            self._delay = delay if 0 <= delay <= MOST_DELAYED * self._step else 0
        return dts - self._delay


class _Falls:
    """Counts how often stamps did not rise."""

    def __init__(self) -> None:
        self.count = 0
        self._last: int | None = None

    @property
    def known(self) -> bool:
        return self._last is not None

    def counted(self, stamp: int | None) -> int:
        if stamp is not None:
            self.count += self._last is not None and stamp <= self._last
            self._last = stamp
        return self.count


def _ticks(time_s: Fraction | None, base: Fraction) -> int | None:
    """Rounds halves up, all alike: what is evenly spaced stays so."""
    return None if time_s is None else math.floor(time_s / base + HALF)


def _decoder_like(stream: av.AudioStream) -> av.AudioCodecContext:
    """A decoder of its own: the stream's belongs to whoever reads its packets."""
    known = stream.codec_context
    decoder = av.CodecContext.create(known.codec.name, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    if known.extradata:
        decoder.extradata = known.extradata
    if known.sample_rate:
        decoder.sample_rate, decoder.layout = known.sample_rate, known.layout
    return decoder
