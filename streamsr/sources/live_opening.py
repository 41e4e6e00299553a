"""How a live address is opened: what FFmpeg is asked for, and what its refusals mean."""

import errno
import ssl
from contextlib import ExitStack
from time import monotonic
from typing import Literal
from urllib.parse import urlsplit

import av

from streamsr.core.errors import SourceError
from streamsr.core.live_address import live_address
from streamsr.media.address_failures import failure_at
from streamsr.media.addresses import ffmpeg_name, is_session_description
from streamsr.media.source import METADATA
from streamsr.media.tracks.carried import codec_of
from streamsr.media.tracks.layouts import settle_layouts
from streamsr.sources.live_watch import LiveTimeouts
from streamsr.sources.rtsp_relay import RtspRelay

__all__ = ["LiveOpening", "is_live_playlist"]

OPTIONS = {
    "analyzeduration": "0",  # µs
    "probesize": "5000",  # bytes
    "fpsprobesize": "0",  # frames: at a frame every five seconds they would take minutes
}
"""Enough for the size and the audio; "nobuffer" would throw the first keyframe away."""
TS_OPTIONS = {**OPTIONS, "probesize": "5000000"}
"""For up to 2 s until a PAT and a PMT come by, at 20 Mbit/s. It ends as soon as they have."""
RTSP_OPTIONS = {**OPTIONS, "probesize": "32"}
"""Its description says what there is: 5000 bytes of a frame every two seconds take ten."""
NO_PROXY = {"http_proxy": ""}
"""Whatever the environment says: a proxy cannot reach what is on this machine."""
RTSP_MEDIA = "video+audio"
"""What is asked for of what a server offers: many refuse their own metadata track (ONVIF)."""
FIND_OUT_S = 10.0  # whether a playlist has an end


class LiveOpening:
    """Knows how to ask for one address. What a server refuses is asked for in another way."""

    def __init__(self, url: str, transport: str) -> None:
        """Raises InputError where ``url`` is no address."""
        self._described = is_session_description(url)
        self.url = ffmpeg_name(url) if self._described else live_address(url)
        self.transport = self._wished = transport  # of RTSP
        self._scheme = "" if self._described else urlsplit(self.url).scheme
        self._on_this_machine = self.url.startswith("http://127.0.0.1:")
        self._media = RTSP_MEDIA
        self._repeated = False  # a request that was refused, in the running try to open it
        self.by_relay = False  # of H.265, whose damage FFmpeg does not see
        # Doubted: it failed before it ever brought video, and the camera is asked without it.
        # It is useless only where video then comes.
        self._relay: Literal["untried", "works", "doubted", "useless"] = "untried"
        self._tables_late = self._scheme == "udp"  # the PAT and the PMT of a transport stream
        self._refused: set[str] = set()  # transports that the server does not speak

    @property
    def how(self) -> str:
        """What was asked for in another way than usual, for people."""
        words = [f"over {self.transport}"] if self._refused else []
        words += ["without audio, whose track it refuses"] if self._media != RTSP_MEDIA else []
        if self._relay in ("doubted", "useless"):
            words.append("whose lost packets are not seen: no video came by the relay that does")
        return ", " + ", ".join(words) if words else ""

    @property
    def is_rtsp(self) -> bool:
        return self._scheme in ("rtsp", "rtsps")

    @property
    def is_playlist(self) -> bool:
        """Whether it is HLS, whose segments arrive in bursts."""
        return is_playlist(self.url)

    def open(self, stack: ExitStack, limits: LiveTimeouts) -> av.container.InputContainer:
        """Opens the address, in another way where the server refuses. Raises SourceError.

        ``stack`` closes it, but for HLS: what reads that ahead does.
        """
        read_s = limits.read_s if self.is_rtsp else limits.mute_s
        if self.is_playlist:
            read_s = limits.burst_s
        self._media, self._repeated = RTSP_MEDIA, False  # it may have refused the audio for once
        while True:
            asked_s = monotonic()
            try:
                url = self.url
                if self.by_relay:
                    relay = RtspRelay(url, self.transport, limits.open_s)
                    url = stack.enter_context(relay).url
                container = av.open(
                    url,
                    options=self.options(),
                    timeout=(limits.open_s, read_s),
                    metadata_errors=METADATA,
                )
            except (av.FFmpegError, OSError, ValueError) as error:
                if not self.asks_otherwise(error) and not self._does_without_relay(error):
                    failure = self.failure(error)
                    # FFmpeg takes an RTSP server that does not answer for one that sends no video
                    unread = isinstance(error, av.error.InvalidDataError)
                    if unread and monotonic() - asked_s >= limits.open_s:
                        failure = SourceError(f"no answer for {limits.open_s:g} s")
                    self._forget_refusals()
                    raise failure from None
                continue
            settle_layouts(container)
            codecs = [codec_of(video) for video in container.streams.video]
            if self._reads_on(container) or any(self.needs_relay(codec) for codec in codecs):
                container.close()
                continue
            if not self.is_playlist:
                stack.enter_context(container)
            return container

    def options(self) -> dict[str, str]:
        """Returns FFmpeg's options for the next try."""
        if self._described:
            return {**OPTIONS, "protocol_whitelist": "file,rtp,udp"}
        if self.is_rtsp:
            return {
                **RTSP_OPTIONS,
                "rtsp_transport": "tcp" if self.by_relay else self.transport,
                "allowed_media_types": self._media,
            }
        options = TS_OPTIONS if self._tables_late or self.is_playlist else OPTIONS
        return options | NO_PROXY if self._on_this_machine else options

    def _reads_on(self, container: av.container.InputContainer) -> bool:
        """Whether to open it again and read on: it may have been joined between two tables."""
        holds_ts = not (self._described or self.is_rtsp or self._scheme.startswith("rtmp"))
        if container.streams.video or self._tables_late or self.is_playlist or not holds_ts:
            return False
        self._tables_late = True
        return True

    def asks_otherwise(self, error: Exception) -> bool:
        """Changes what is asked for next; returns whether there is anything left to ask for."""
        if not self.is_rtsp:
            return False
        if getattr(error, "errno", None) == errno.EPROTONOSUPPORT:  # 461 Unsupported Transport
            self._refused.add(self.transport)
            other = "udp" if self.transport == "tcp" else "tcp"
            if other in self._refused:
                return False
            self.transport = other
            return True
        if isinstance(error, av.error.HTTPOtherClientError) and self._media == RTSP_MEDIA:
            if self._repeated:  # FFmpeg does not say what is refused: twice may be the audio
                self._media = "video"
            self._repeated = True
            return True
        return False

    def _forget_refusals(self) -> None:
        """What did not help either is no fact about the camera: it may only have been busy."""
        self.transport = self._wished
        self._refused.clear()
        if self._relay == "doubted":
            self._relay = "untried"

    def needs_relay(self, codec: str) -> bool:
        """Whether to open it again by a relay, now that the codec of its video is known."""
        if self.by_relay or not self.is_rtsp or codec != "hevc":
            return False
        self.by_relay = self._relay in ("untried", "works")
        return self.by_relay

    def _does_without_relay(self, error: Exception) -> bool:
        """Whether it was the relay, as far as is known, that failed; the next try is without it."""
        unreachable = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
        if not self.by_relay or self._relay != "untried" or unreachable:
            return False
        self.by_relay, self._relay = False, "doubted"
        return True

    def ended(self, *, has_video: bool) -> None:
        """Takes how a connection ended: one bad moment of a camera is no fault of the relay."""
        if self.by_relay and has_video:
            self._relay = "works"
        elif self.by_relay and self._relay == "untried":
            self.by_relay, self._relay = False, "doubted"
        elif self._relay == "doubted":
            self._relay = "useless" if has_video else "untried"

    def failure(self, error: Exception) -> SourceError:
        """Returns what FFmpeg or PyAV raised, in words that say what to change."""
        if getattr(error, "errno", None) == errno.EPROTONOSUPPORT and self._refused:
            return SourceError(f"it refuses RTP over {' and '.join(sorted(self._refused))}")
        return failure_at(self.url, error)


def is_playlist(url: str) -> bool:
    """Whether an address is that of an HLS playlist."""
    place = urlsplit(url) if "://" in url else None
    return place is not None and place.scheme in ("http", "https") and place.path.endswith(".m3u8")


def is_live_playlist(url: str) -> bool:
    """Whether it is HLS that goes on: a playlist without an end (RFC 8216, 4.3.3.4), or one that
    is not there yet. It is opened to find out."""
    if not is_playlist(url):
        return False
    try:
        with av.open(live_address(url), options=TS_OPTIONS, timeout=FIND_OUT_S) as container:
            return container.duration is None
    except (av.FFmpegError, OSError, ValueError):
        return True
