"""A live address as a source: it reconnects for ever, and notices a camera that has gone mute."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import av

from streamsr.core.backoff import Backoff
from streamsr.core.clock_sync import TICKS, ClockSync
from streamsr.core.errors import SourceAuthError, SourceError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.redact import redact
from streamsr.media.container import reason_of
from streamsr.media.files import METADATA, stream_info, streams_of
from streamsr.media.h264 import LossDetector
from streamsr.media.pixels import from_av
from streamsr.media.source import AudioFrame, Item

__all__ = ["LiveSource"]

OPEN_S = 5.0  # for a peer to say something
READ_S = 2.0  # for a packet; FFmpeg takes twice as long to notice
SILENT_S = 4.0  # without a new picture: the camera is given up and opened anew
DAMAGED_S = 6.0  # likewise where all there is is damaged: keyframes may be seconds apart
WAITED_S = 0.003  # for a packet: it had not been there before
BACKLOG_S = 2.0  # after opening: what comes from then on is live however fast it comes
AUTH_RETRY_S = 30.0  # cameras lock users out that knock too often


class LiveSource:
    """A camera. ``items`` ends only when it is stopped, or as ``give_up_s`` says.

    With ``give_up_s`` the first picture must come within so many seconds, or SourceError is
    raised; once it has come, the source is tried again for ever.
    """

    live = True

    def __init__(
        self, url: str, emit: Emit, *, transport: str = "tcp", give_up_s: float | None = None
    ) -> None:
        self.url = url
        self.name = redact(url)
        self.transport = transport
        self.reconnects = 0
        self.down = False
        self._emit = emit
        self._connected = False  # since the last failure
        self._give_up_s = give_up_s
        self._timeline = ClockSync()
        self._seen = False  # any picture, ever

    def items(self, stop: threading.Event) -> Iterator[Item]:
        backoff = Backoff()
        started = monotonic()
        while not stop.is_set():
            try:
                for item in self._connection(stop):
                    if isinstance(item, Frame):
                        backoff.succeeded()
                        self._note_connected()
                    yield item
                reason: SourceError = SourceError("the stream ended")
            except SourceError as error:
                reason = error
            if stop.is_set():
                return
            delay_s = self._failed(reason, backoff, monotonic() - started)
            self._connected, self.down = False, True
            stop.wait(delay_s)

    def _note_connected(self) -> None:
        if not self._connected:
            self.reconnects += self._seen
        self._connected, self._seen, self.down = True, True, False

    def _failed(self, reason: SourceError, backoff: Backoff, tried_s: float) -> float:
        """Say what happened and give the seconds to wait, or raise once it is time to give up."""
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
        self._timeline.reconnected()
        try:
            with self._open() as container:
                yield from self._read(container, stop)
        except (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError):
            raise SourceAuthError("it refuses the user name or password") from None
        except (av.error.ExitError, TimeoutError):
            raise SourceError("it says nothing any more") from None
        except (av.FFmpegError, OSError, ValueError) as error:  # PyAV's own, of damaged data
            raise SourceError(reason_of(error)) from None

    def _open(self) -> av.container.InputContainer:
        return av.open(
            self.url,
            options=self._options(),
            timeout=(OPEN_S, READ_S),
            metadata_errors=METADATA,
        )

    def _read(
        self, container: av.container.InputContainer, stop: threading.Event
    ) -> Iterator[Item]:
        video, audio = streams_of(container)
        video.codec_context.thread_count = 1  # frame threads would delay by a frame each
        watch = _Watch(monotonic())
        losses = LossDetector(video.codec_context.extradata)
        reads_h264 = video.codec_context.name == "h264"
        shape: tuple[int, int, str] | None = None
        for packet in watch.timed(container.demux([s for s in (video, audio) if s is not None])):
            if stop.is_set():
                return
            arrived = watch.arrived
            if packet.stream is audio:
                yield from self._audio(packet)
                continue
            if reads_h264 and losses.lost_before(bytes(packet)):
                self._damaged(watch, "packets were lost")
            for picture in self._decode(packet, watch):
                if not watch.at_live_edge:
                    continue
                if (now := (picture.width, picture.height, picture.format.name)) != shape:
                    shape = now
                    info = stream_info(video, audio, picture)
                    self._tell(Code.SRC_UP, f"{info.size} {info.codec} from {self.name}")
                    yield info
                watch.pictured(arrived)
                yield self._frame(picture, arrived, watch)

    def _decode(self, packet: av.Packet[Any], watch: _Watch) -> list[av.VideoFrame]:
        """The packet's new and whole pictures."""
        try:
            pictures = packet.decode()
        except av.FFmpegError as error:
            self._damaged(watch, reason_of(error))
            return []
        return [p for p in pictures if watch.is_new(p) and watch.is_whole(p)]

    def _damaged(self, watch: _Watch, reason: str) -> None:
        watch.damaged = watch.was_damaged = True
        self._tell(Code.SRC_DAMAGED, f"{reason}; the last picture is held until a whole one")

    def _frame(self, picture: av.VideoFrame, arrived: float, watch: _Watch) -> Frame:
        pts, broken = self._timeline.frame(picture.time, arrived)
        gone, watch.was_damaged = watch.was_damaged, False
        if broken and watch.pictures > 1:
            self._tell(Code.SRC_TIME, "the time stamps jumped; they are rebased")
        return from_av(
            picture,
            pts=pts,
            time_base=TICKS,
            arrived=arrived,
            discontinuous=broken or gone,
            rotation=picture.rotation,
        )

    def _audio(self, packet: av.Packet[Any]) -> Iterator[AudioFrame]:
        if packet.pts is None:
            return
        time_s = self._timeline.audio_s(float(packet.pts * packet.time_base))
        if time_s is not None:
            yield AudioFrame(time_s, packet.stream.codec_context.name, packet)

    def _options(self) -> dict[str, str]:
        # enough for the size and the audio; "nobuffer" would throw the first keyframe away
        options = {"analyzeduration": "0", "probesize": "5000"}  # µs, bytes
        if self.url.startswith("rtsp"):
            options |= {"rtsp_transport": self.transport, "timeout": str(round(OPEN_S * 1e6))}
        return options

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self.name, message))


class _Watch:
    """What one connection has delivered: only new, whole pictures count as a sign of life."""

    def __init__(self, opened: float) -> None:
        self.pictures = 0
        self.damaged = False  # since the newest keyframe
        self.was_damaged = False  # since the newest picture that was shown
        self.arrived = opened  # monotonic: the newest packet
        # Some servers begin with what they sent the others since the last keyframe. It is decoded,
        # not shown: shown, the whole stream would lag by it. A read that waits ends it.
        self.at_live_edge = False
        self._opened = opened
        self._newest = opened  # monotonic: the newest picture
        self._pts: int | None = None

    def timed(self, packets: Iterator[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Take note of when packets arrive. Raises SourceError after too long without a picture."""
        asked = monotonic()
        for packet in packets:
            self.arrived = monotonic()
            waited = self.arrived - asked > WAITED_S
            self.at_live_edge |= waited or self.arrived - self._opened > BACKLOG_S
            self._check(self.arrived)
            yield packet
            asked = monotonic()

    def _check(self, now: float) -> None:
        silent_s = now - self._newest
        if silent_s > (DAMAGED_S if self.damaged else SILENT_S):
            raise SourceError(f"no new picture for {silent_s:.0f} s")

    def pictured(self, now: float) -> None:
        self.pictures += 1
        self._newest = now

    def is_new(self, picture: av.VideoFrame) -> bool:
        """Whether it is not the last one's twin, as repeated SPS and PPS make of a keyframe."""
        twin = picture.pts is not None and picture.pts == self._pts
        self._pts = picture.pts
        return not twin

    def is_whole(self, picture: av.VideoFrame) -> bool:
        """Whether it is decoded from undamaged data, back to its keyframe."""
        self.damaged = picture.is_corrupt or (self.damaged and not picture.key_frame)
        return not self.damaged
