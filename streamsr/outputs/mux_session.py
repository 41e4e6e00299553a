"""A stream in containers: one connection, one playlist or one file after another.

A session is one container. It begins at a keyframe and ends where the video's parameter sets
change, or audio comes or goes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.bitstream.h264 import parameter_sets
from streamsr.core.packet import AUDIO_TRACKS, Packet
from streamsr.ipc.messages import OutputFormat
from streamsr.media.container import Container
from streamsr.media.tracks.silence import AAC_S, AAC_SAMPLES, AUDIO_BASE, SteadyAudio, silent_packet

__all__ = ["LATE_AUDIO_S", "MuxSession", "MuxTarget", "Muxer"]

LATE_AUDIO_S = Fraction(2)  # that audio may come after its frame before it is taken for missing
GAP_S = 10.0  # between frames: a server has hung up by then, and a player's list cannot hold it
INTERLEAVE = {"max_interleave_delta": "50000"}
"""Microseconds that a frame waits for the audio beside it; FFmpeg's own 10 s would delay live
video by as much wherever a source's audio stops."""


@dataclass(frozen=True, slots=True)
class MuxTarget:
    """Where a session goes, and how FFmpeg is to write it."""

    address: str = field(repr=False)  # a URL, secrets and all, or a path
    container_format: str  # FFmpeg's name
    options: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    most_gap_s: float = GAP_S  # between frames of one session
    late_audio_s: Fraction | None = None  # beside its frame, until it is silent; None: it never is


class MuxSession:
    """One opened container. Raises av.FFmpegError or OSError where the file or the peer fails.

    Its time begins at 0 with its first keyframe and never falls, video and audio keeping their
    distance. It never waits for a track that does not come: where the target says how late audio
    may be, it is silent where it is missing, to the end of the last frame. What is sent to a server
    is not: players would wait for silence that comes later than its frame.
    """

    def __init__(self, target: MuxTarget, keyframe: Packet, stream: OutputFormat) -> None:
        """Opens ``target`` and writes its header; ``keyframe`` is to be written as well."""
        self.begins_s = keyframe.pts * keyframe.time_base
        self.audio = stream.audio
        self._sets = parameter_sets(keyframe.data)
        self._frame_s = 1 / stream.rate
        self._target = target
        self._shown_s: Fraction | None = None  # when the newest frame is
        self._steady = SteadyAudio()
        self._container = Container(
            target.address,
            INTERLEAVE | dict(target.options),
            target.container_format,
            target.metadata,
        )
        self._container.add_video(keyframe, stream.rate)
        if self.audio:
            self._container.add_audio()
        self._container.begin()

    @property
    def late_audio(self) -> int:
        """Packets of audio that came so late that there was silence already."""
        return self._steady.late

    @property
    def ends_s(self) -> Fraction:
        """The seconds from the first frame to the end of the newest."""
        return Fraction(0) if self._shown_s is None else self._shown_s + self._frame_s

    def takes(self, keyframe: Packet, stream: OutputFormat) -> bool:
        """Returns whether what begins with ``keyframe`` can go on in this container."""
        gap_s = keyframe.pts * keyframe.time_base - self.begins_s - (self._shown_s or 0)
        return (
            stream.audio == self.audio
            and parameter_sets(keyframe.data) == self._sets
            and gap_s <= self._target.most_gap_s
        )

    def write(self, packet: Packet) -> None:
        """Writes a packet; audio from before the first frame is left out, and what comes so late
        that there is silence in its place."""
        base = packet.time_base
        pts = packet.pts - round(self.begins_s / base)
        if packet.track in AUDIO_TRACKS:
            if self.audio and pts >= 0:
                self._write_audio(packet, pts)
            return
        if self._shown_s is not None:
            pts = max(pts, int(self._shown_s / base) + 1)
        self._container.video(packet, pts)
        self._shown_s = pts * base
        self._be_silent(self._shown_s - (self._target.late_audio_s or 0))

    def close(self) -> None:
        """Ends the audio with the video, and closes."""
        self._be_silent(self.ends_s)
        self._container.close()

    def _write_audio(self, packet: Packet, pts: int) -> None:
        begins_s = pts * packet.time_base
        if not self._steady.takes(begins_s):
            return
        self._be_silent(begins_s)
        lasts = round(AAC_S / packet.time_base)
        self._container.audio(packet.data, pts, packet.time_base, lasts)
        self._steady.written(begins_s)

    def _be_silent(self, until_s: Fraction) -> None:
        """Fills what is missing of the audio with silence, as far as whole packets go."""
        if not self.audio or self._target.late_audio_s is None:
            return
        for begins_s in self._steady.silence(until_s):
            pts = round(begins_s / AUDIO_BASE)
            self._container.audio(silent_packet()[0], pts, AUDIO_BASE, AAC_SAMPLES)


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
