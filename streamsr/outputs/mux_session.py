"""A stretch of a stream in one container: one connection, one playlist, or one file of many.

Its time begins at 0 with its first keyframe and never falls, picture and audio keeping their
distance. It never waits for a track that does not come.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.core.packet import AUDIO_TRACKS, Packet, Track
from streamsr.media.container import Container, parameter_sets

__all__ = ["Session", "Target"]

AAC_SAMPLES = Fraction(1024, 48_000)  # seconds that one packet of audio lasts
PATIENCE = {"max_interleave_delta": "50000"}
"""Microseconds that a picture waits for the audio beside it; FFmpeg's own 10 s would delay a live
picture by as much wherever a source's audio stops."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a session goes, and how FFmpeg is to write it."""

    address: str = field(repr=False)  # a URL, secrets and all, or a path
    container_format: str  # FFmpeg's name
    options: Mapping[str, str] = field(default_factory=dict)


class Session:
    """One opened container. Raises av.FFmpegError or OSError where the file or the peer fails."""

    def __init__(
        self, target: Target, keyframe: Packet, rate: Fraction | None, audio: bool
    ) -> None:
        """Open ``target`` and write its header; ``keyframe`` is to be written as well."""
        self.begins_s = keyframe.pts * keyframe.time_base
        self.audio = audio
        self._sets = parameter_sets(keyframe.data)
        self._last: dict[str, Fraction] = {}  # the newest time of each track, in seconds
        self._container = Container(
            target.address, PATIENCE | dict(target.options), target.container_format
        )
        self._container.add_video(keyframe, rate)
        if audio:
            self._container.add_audio()
        self._container.begin()

    def takes(self, keyframe: Packet, audio: bool) -> bool:
        """Whether what begins with ``keyframe`` can go on in here."""
        return audio == self.audio and parameter_sets(keyframe.data) == self._sets

    def write(self, packet: Packet) -> None:
        """Write a picture or a piece of audio; audio from before the first picture is left out."""
        base = packet.time_base
        pts = packet.pts - round(self.begins_s / base)
        last = self._last.get(packet.track)
        if packet.track in AUDIO_TRACKS:
            if not self.audio or pts < 0 or (last is not None and pts * base <= last):
                return
            self._container.audio(packet.data, pts, base, round(AAC_SAMPLES / base))
        elif packet.track == Track.OUTPUT:
            if last is not None:
                pts = max(pts, int(last / base) + 1)  # another worker's clock may lag a little
            self._container.video(packet, pts)
        self._last[packet.track] = pts * base

    def close(self) -> None:
        self._container.close()
