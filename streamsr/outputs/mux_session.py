"""A stream in containers: one connection, one playlist or one file after another.

A session is one container. It begins at a keyframe and ends where the video's parameter sets
change, or audio comes or goes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.core.packet import AUDIO_TRACKS, Packet, Track
from streamsr.ipc.messages import OutputFormat
from streamsr.media.container import Container
from streamsr.media.h264 import parameter_sets

__all__ = ["MuxSession", "MuxTarget", "Muxer"]

AAC_SAMPLES = Fraction(1024, 48_000)  # seconds that one packet of audio lasts
INTERLEAVE = {"max_interleave_delta": "50000"}
"""Microseconds that a frame waits for the audio beside it; FFmpeg's own 10 s would delay live
video by as much wherever a source's audio stops."""


@dataclass(frozen=True, slots=True)
class MuxTarget:
    """Where a session goes, and how FFmpeg is to write it."""

    address: str = field(repr=False)  # a URL, secrets and all, or a path
    container_format: str  # FFmpeg's name
    options: Mapping[str, str] = field(default_factory=dict)


class MuxSession:
    """One opened container. Raises av.FFmpegError or OSError where the file or the peer fails.

    Its time begins at 0 with its first keyframe and never falls, video and audio keeping their
    distance. It never waits for a track that does not come.
    """

    def __init__(self, target: MuxTarget, keyframe: Packet, stream: OutputFormat) -> None:
        """Opens ``target`` and writes its header; ``keyframe`` is to be written as well."""
        self.begins_s = keyframe.pts * keyframe.time_base
        self.audio = stream.audio
        self._sets = parameter_sets(keyframe.data)
        self._last: dict[Track, Fraction] = {}  # the newest time of each track, in seconds
        self._container = Container(
            target.address, INTERLEAVE | dict(target.options), target.container_format
        )
        self._container.add_video(keyframe, stream.rate)
        if self.audio:
            self._container.add_audio()
        self._container.begin()

    def takes(self, keyframe: Packet, stream: OutputFormat) -> bool:
        """Returns whether what begins with ``keyframe`` can go on in this container."""
        return stream.audio == self.audio and parameter_sets(keyframe.data) == self._sets

    def write(self, packet: Packet) -> None:
        """Writes a packet; audio from before the first frame is left out."""
        base = packet.time_base
        pts = packet.pts - round(self.begins_s / base)
        last = self._last.get(packet.track)
        if packet.track in AUDIO_TRACKS:
            if not self.audio or pts < 0 or (last is not None and pts * base <= last):
                return
            self._container.audio(packet.data, pts, base, round(AAC_SAMPLES / base))
        else:
            if last is not None:
                pts = max(pts, int(last / base) + 1)  # another worker's clock may lag a little
            self._container.video(packet, pts)
        self._last[packet.track] = pts * base

    def close(self) -> None:
        self._container.close()


class Muxer:
    """Writes a stream in one session after another, each to what ``next_target`` returns."""

    def __init__(self, next_target: Callable[[], MuxTarget]) -> None:
        self._next_target = next_target
        self.session: MuxSession | None = None  # the one that is open: its header was taken

    def write(self, packet: Packet, stream: OutputFormat) -> None:
        """Writes a packet of a stream that is as ``stream`` says; drops it before a keyframe."""
        if packet.keyframe and packet.track not in AUDIO_TRACKS:
            if self.session is not None and not self.session.takes(packet, stream):
                self.close()
            if self.session is None:
                self.session = MuxSession(self._next_target(), packet, stream)
        if self.session is not None:
            self.session.write(packet)

    def close(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.close()
