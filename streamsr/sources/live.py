"""A live address as a source: opened again indefinitely, and given up when it falls silent."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import av

from streamsr.core.backoff import Backoff
from streamsr.core.clock_sync import TICKS, ClockSync
from streamsr.core.errors import SourceAuthError, SourceError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.redact import redact
from streamsr.media.addresses import ffmpeg_name, is_session_description
from streamsr.media.container import reason_of
from streamsr.media.h264 import LossDetector
from streamsr.media.orientation import Orientation, OrientationTracker
from streamsr.media.source import (
    METADATA,
    AudioFrame,
    Item,
    PacketSizes,
    Source,
    stream_info,
    streams_of,
)
from streamsr.sources.deinterlace import Deinterlace, Deinterlacer
from streamsr.sources.stamps import kind_of_stamps

__all__ = ["LiveSource", "LiveTimeouts"]

WAITED_S = 0.003  # for a packet: it had not been there before
BACKLOG_S = 2.0  # after opening: what comes from then on is live however fast it comes
AUTH_RETRY_S = 30.0  # cameras lock users out that try too often
OPTIONS = {"analyzeduration": "0", "probesize": "5000"}  # µs, bytes
"""Enough for the size and the audio; "nobuffer" would throw the first keyframe away."""


@dataclass(frozen=True, slots=True)
class LiveTimeouts:
    """How long a camera may take."""

    open_s: float = 5.0  # to say something
    read_s: float = 2.0  # for a packet; FFmpeg takes up to twice as long to notice
    silent_s: float = 4.0  # without a new frame
    damaged_s: float = 6.0  # likewise where all frames are damaged: keyframes may be seconds apart


class LiveSource(Source):
    """A camera. ``items`` ends only when it is stopped, or as ``give_up_s`` says.

    With ``give_up_s`` the first frame must come within so many seconds, or SourceError is raised;
    once it has come, the source is opened again indefinitely.
    """

    live = True

    def __init__(
        self,
        url: str,
        emit: Emit,
        *,
        transport: str = "tcp",
        give_up_s: float | None = None,
        timeouts: LiveTimeouts | None = None,
        deinterlace: Deinterlace = "auto",
    ) -> None:
        self.url = url
        self.name = redact(url)
        self.transport = transport
        self._emit = emit
        self._give_up_s = give_up_s
        self._timeouts = timeouts or LiveTimeouts()
        self._clock = ClockSync()
        self._seen = False  # any frame, ever
        tell = partial(self._tell, Code.SRC_INTERLACED)
        self._deinterlacer = Deinterlacer(deinterlace, tell, waits=False)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        backoff = Backoff()
        started = monotonic()
        while not stop.is_set():
            try:
                for item in self._connection(stop):
                    if isinstance(item, Frame):
                        backoff.succeeded()
                        self.reconnects += self.down and self._seen
                        self.down, self._seen = False, True
                    yield item
                reason: SourceError = SourceError("the stream ended")
            except SourceError as error:
                reason = error
            if stop.is_set():
                return
            delay_s = self._failed(reason, backoff, monotonic() - started)
            self.down = True
            stop.wait(delay_s)

    def _failed(self, reason: SourceError, backoff: Backoff, tried_s: float) -> float:
        """Reports a failure; returns the seconds to wait. Raises once it is time to give up."""
        refused = isinstance(reason, SourceAuthError)
        delay_s = AUTH_RETRY_S if refused else backoff.next_s()
        if self._give_up_s is not None and not self._seen:
            if refused or tried_s + delay_s >= self._give_up_s:
                raise type(reason)(f"input {self.name}: {reason}")
            delay_s = min(delay_s, self._give_up_s - tried_s)
        code = Code.SRC_AUTH if refused else Code.SRC_DOWN
        self._tell(code, f"{self.name}: {reason}; trying again in {delay_s:.1f} s")
        return delay_s

    def _connection(self, stop: threading.Event) -> Iterator[Item]:
        """One connection, from opening to its end. Raises SourceError where it fails."""
        self._clock.reconnected()
        try:
            with av.open(
                ffmpeg_name(self.url),
                options=self._options(),
                timeout=(self._timeouts.open_s, self._timeouts.read_s),
                metadata_errors=METADATA,
            ) as container:
                yield from self._read(container, stop)
        except (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError):
            raise SourceAuthError("it refuses the user name or password") from None
        except (av.error.ExitError, TimeoutError):
            raise SourceError("it says nothing any more") from None
        except (av.FFmpegError, OSError, ValueError) as error:  # PyAV's own, of damaged data
            raise SourceError(reason_of(error)) from None

    def _read(
        self, container: av.container.InputContainer, stop: threading.Event
    ) -> Iterator[Item]:
        video, audio = streams_of(container)
        stamps = kind_of_stamps(container)
        self._clock.reconnected(invented=stamps.invented, wrap_s=stamps.wrap_s)
        video.codec_context.thread_count = 1  # frame threads would delay by a frame each
        watch = _Watch(monotonic(), self._timeouts)
        losses = LossDetector(video.codec_context.extradata)
        reads_h264 = video.codec_context.name == "h264"
        shape: tuple[int, int, str, Orientation] | None = None
        for packet in watch.timed(container.demux([s for s in (video, audio) if s is not None])):
            if stop.is_set():
                return
            arrived = watch.arrived
            if packet.stream is audio:
                yield from self._audio(packet, arrived)
                continue
            if reads_h264 and losses.lost_before(bytes(packet)):
                self._damaged(watch, "packets were lost")
            for image in self._decode(packet, watch):
                orientation = watch.orientations.of(image)
                if not watch.at_live_edge:
                    continue
                now = image.width, image.height, image.format.name, orientation
                if now != shape:
                    shape = now
                    info = stream_info(video, audio, image, orientation)
                    self._tell(Code.SRC_UP, f"{info.size} {info.codec} from {self.name}")
                    self._deinterlacer.describe(info)
                watch.delivered(arrived)
                yield from self._frames(image, orientation, arrived, watch)

    def _decode(self, packet: av.Packet[Any], watch: _Watch) -> list[av.VideoFrame]:
        """Returns the packet's new and undamaged images."""
        watch.sizes.note(packet)
        try:
            images = packet.decode()
        except av.FFmpegError as error:
            self._damaged(watch, reason_of(error))
            return []
        return [image for image in images if watch.is_new(image) and watch.is_whole(image)]

    def _damaged(self, watch: _Watch, reason: str) -> None:
        watch.damaged = watch.was_damaged = True
        self._tell(Code.SRC_DAMAGED, f"{reason}; the last frame is held until a whole one")

    def _frames(
        self, image: av.VideoFrame, orientation: Orientation, arrived: float, watch: _Watch
    ) -> Iterator[Item]:
        pts, broken = self._clock.frame(image.time, arrived)
        gone, watch.was_damaged = watch.was_damaged, False
        if broken and watch.frames > 1:
            self._jumped()
        yield from self._deinterlacer.frames(
            image,
            pts=pts,
            time_base=TICKS,
            arrived=arrived,
            discontinuous=broken or gone,
            packet_bytes=watch.sizes.of(image),
            orientation=orientation,
        )

    def _jumped(self) -> None:
        self.jumps += 1
        done = "they are rebased"
        if self._clock.by_arrival:
            done = "as they do again and again: frames go by their arrival now"
        self._tell(Code.SRC_TIME, f"the time stamps jumped; {done}")

    def _audio(self, packet: av.Packet[Any], arrived: float) -> Iterator[AudioFrame]:
        if packet.pts is None:
            return
        time_s = self._clock.audio_s(float(packet.pts * packet.time_base), arrived)
        if time_s is not None:
            yield AudioFrame(time_s, packet.stream.codec_context.name, packet)

    def _options(self) -> dict[str, str]:
        if is_session_description(self.url):
            return {**OPTIONS, "protocol_whitelist": "file,rtp,udp"}
        if not self.url.startswith("rtsp"):
            return OPTIONS
        timeout = str(round(self._timeouts.open_s * 1e6))  # µs
        return {**OPTIONS, "rtsp_transport": self.transport, "timeout": timeout}

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self.name, message))


class _Watch:
    """Watches one connection: it must deliver new, undamaged frames."""

    def __init__(self, opened: float, timeouts: LiveTimeouts) -> None:
        self.frames = 0
        self.sizes = PacketSizes()
        self.orientations = OrientationTracker(keyframes=2)
        self.damaged = False  # since the newest keyframe
        self.was_damaged = False  # since the newest frame that was delivered
        self.arrived = opened  # monotonic: the newest packet
        # Some servers begin with what they sent the others since the last keyframe. It is decoded,
        # not delivered: the whole stream would lag by it. A read that waits ends it.
        self.at_live_edge = False
        self._opened = opened
        self._timeouts = timeouts
        self._newest = opened  # monotonic: the newest frame
        self._pts: int | None = None

    def timed(self, packets: Iterator[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Notes when packets arrive. Raises SourceError after too long without a frame."""
        asked = monotonic()
        for packet in packets:
            self.arrived = monotonic()
            waited = self.arrived - asked > WAITED_S
            self.at_live_edge |= waited or self.arrived - self._opened > BACKLOG_S
            silent_s = self.arrived - self._newest
            if silent_s > (self._timeouts.damaged_s if self.damaged else self._timeouts.silent_s):
                raise SourceError(f"no new frame for {silent_s:.0f} s")
            yield packet
            asked = monotonic()

    def delivered(self, now: float) -> None:
        self.frames += 1
        self._newest = now

    def is_new(self, image: av.VideoFrame) -> bool:
        """Whether it is not the last one's twin, as repeated SPS and PPS make of a keyframe."""
        twin = image.pts is not None and image.pts == self._pts
        self._pts = image.pts
        return not twin

    def is_whole(self, image: av.VideoFrame) -> bool:
        """Whether it is decoded from undamaged data, back to its keyframe."""
        self.damaged = image.is_corrupt or (self.damaged and not image.key_frame)
        return not self.damaged
