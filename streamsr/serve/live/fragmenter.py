"""Packets of a stream into fragments of MP4. Pure: no clock, no loop.

A fragment is one frame and the audio that came beside it. It leaves when the next frame is there,
which says how long it is shown: a player takes a wrong duration for a gap, and drops what follows
up to the next keyframe (Media Source Extensions, 3.5.8).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.bitstream.h264 import parameter_sets
from streamsr.core.packet import AUDIO_TRACKS, Packet
from streamsr.media.tracks.silence import AAC_SAMPLES, SteadyAudio, silent_packet
from streamsr.serve.live.fmp4 import (
    AUDIO_HZ,
    VIDEO_HZ,
    InitSegment,
    Sample,
    avcc,
    make_fragment,
)

__all__ = ["Fragmenter", "MediaFragment"]

LATE_AUDIO_S = Fraction(1)  # that audio may come after its frame before it is taken for missing
LONGEST_S = 3600  # that one frame is shown: a session begins again where there is more between


@dataclass(frozen=True, slots=True)
class MediaFragment:
    """One frame and the audio beside it, in the stream's own time."""

    init: InitSegment  # another object where a player has to begin again with it
    data: bytes = field(repr=False)
    begins_s: Fraction
    lasts_s: Fraction
    keyframe: bool


class Fragmenter:
    """Makes fragments of one track of video, and the stream's audio where it has any."""

    def __init__(self) -> None:
        self._init: InitSegment | None = None  # of the session; None: no keyframe has come
        self._kind: tuple[bytes, bool] | None = None  # what the session is: video, audio or none
        self._held: Packet | None = None  # the newest frame: how long it is shown is not known
        self._begins = 0  # when it is shown, in ticks
        self._steady = SteadyAudio()
        self._audio: list[Sample] = []  # that has come since the newest fragment
        self._number = 0  # of fragments

    def take(self, packet: Packet, rate: Fraction, *, audio: bool) -> Iterator[MediaFragment]:
        """Takes a packet of a stream of so many frames a second; yields what is due with it.

        ``audio``: whether the stream has any. What comes before a keyframe is left out.
        """
        if packet.track in AUDIO_TRACKS:
            if audio and self._kind is not None and self._kind[1]:
                self._take_audio(packet.data, packet.pts * packet.time_base)
            return
        begins = round(packet.pts * packet.time_base * VIDEO_HZ)
        if packet.keyframe:
            kind = parameter_sets(packet.data), audio
            if not kind[0]:
                return  # nobody could decode it
            if kind != self._kind or begins - self._begins > LONGEST_S * VIDEO_HZ:
                yield from self._end(rate)
                self._begin(packet, begins, rate, audio=audio)
                self._kind = kind
                return
        if self._init is None:
            return
        begins = max(begins, self._begins + 1)
        yield from self._leave(begins)
        self._held, self._begins = packet, begins

    def _begin(self, keyframe: Packet, begins: int, rate: Fraction, *, audio: bool) -> None:
        self._init = InitSegment.of(keyframe, rate, audio=audio)
        self._held, self._begins = keyframe, begins
        self._steady, self._audio = SteadyAudio(Fraction(begins, VIDEO_HZ)), []

    def _end(self, rate: Fraction) -> Iterator[MediaFragment]:
        """Yields the frame that no other of its session follows."""
        if self._held is not None:
            yield from self._leave(self._begins + round(VIDEO_HZ / rate))
        self._held = None

    def _leave(self, until: int) -> Iterator[MediaFragment]:
        held = self._held
        if held is None or self._init is None:
            return
        if self._kind is not None and self._kind[1]:
            self._be_silent(Fraction(self._begins, VIDEO_HZ) - LATE_AUDIO_S)
        lasts = until - self._begins
        video = Sample(avcc(held.data), self._begins, lasts, held.keyframe)
        audio, self._audio = self._audio, []
        self._number += 1
        yield MediaFragment(
            self._init,
            make_fragment(self._number, [video], audio),
            Fraction(self._begins, VIDEO_HZ),
            Fraction(lasts, VIDEO_HZ),
            held.keyframe,
        )

    def _take_audio(self, data: bytes, begins_s: Fraction) -> None:
        if not self._steady.takes(begins_s):
            return
        self._be_silent(begins_s)
        self._append(data, begins_s)
        self._steady.written(begins_s)

    def _be_silent(self, until_s: Fraction) -> None:
        for begins_s in self._steady.silence(until_s):
            self._append(silent_packet()[0], begins_s)

    def _append(self, data: bytes, begins_s: Fraction) -> None:
        """Adds a packet of audio; it lasts to the next one, as fragments have one time for all."""
        begins = round(begins_s * AUDIO_HZ)
        if self._audio:
            before = self._audio[-1]
            lasts = max(1, begins - before.begins)
            self._audio[-1] = Sample(before.data, before.begins, lasts)
        self._audio.append(Sample(data, begins, AAC_SAMPLES))
