"""A stream on its way to one place, in one session after another.

A session ends where the picture's format changes, or audio comes or goes; the next one begins at
the same keyframe. It never tries again by itself: whoever owns it does.
"""

from collections.abc import Callable
from fractions import Fraction
from urllib.parse import urlsplit

from streamsr.core.packet import AUDIO_TRACKS, Packet
from streamsr.outputs.mux_session import Session, Target

__all__ = ["Broadcast", "server_of"]


def server_of(url: str, transport: str) -> Target:
    """The server at an rtsp://, rtsps://, rtmp:// or rtmps:// address.

    ``transport``, "tcp" or "udp", is that of RTSP's media.
    """
    if urlsplit(url).scheme.lower().startswith("rtmp"):
        return Target(url, "flv", {"flvflags": "no_duration_filesize"})
    return Target(url, "rtsp", {"rtsp_transport": transport})


class Broadcast:
    """Writes packets to the target that ``next_target`` names for each session."""

    def __init__(self, next_target: Callable[[], Target]) -> None:
        self._next_target = next_target
        self._session: Session | None = None

    @property
    def opened(self) -> bool:
        """Whether there is a session: its header was taken."""
        return self._session is not None

    def write(self, packet: Packet, rate: Fraction | None, audio: bool) -> None:
        """Write a packet of a stream that has ``audio`` now, or has not."""
        if packet.keyframe and packet.track not in AUDIO_TRACKS:
            self._begin(packet, rate, audio)
        if self._session is not None:
            self._session.write(packet)

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _begin(self, keyframe: Packet, rate: Fraction | None, audio: bool) -> None:
        if self._session is not None and not self._session.takes(keyframe, audio):
            self.close()
        if self._session is None:
            self._session = Session(self._next_target(), keyframe, rate, audio)
