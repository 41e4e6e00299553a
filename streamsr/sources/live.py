"""A live address as a source: opened again indefinitely, and given up when it falls silent."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import errno
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from time import monotonic
from typing import Any, Literal

import av

from streamsr.core.events import Code, Emit
from streamsr.core.redact import redact
from streamsr.media.container import reason_of
from streamsr.media.orientation import Orientation, OrientationTracker
from streamsr.media.source import AudioFrame, Item, stream_info
from streamsr.media.tracks.carried import ALL, codec_of, streams_of
from streamsr.sources.containers import demuxed
from streamsr.sources.interlace.deinterlace import Deinterlace, Deinterlacer
from streamsr.sources.live_damage import Damage, SentFrame
from streamsr.sources.live_opening import LiveOpening
from streamsr.sources.live_watch import LiveTimeouts, LiveWatch
from streamsr.sources.read_ahead import Pacer, ReadAhead
from streamsr.sources.reopened import ReopenedSource
from streamsr.sources.timing.clock_sync import TICKS, ClockSync
from streamsr.sources.timing.stamps import kind_of_stamps

__all__ = ["LiveSource"]

WAITED_S = 0.1  # for a read that failed: FFmpeg looks so often whether it takes too long
TICK_S = 0.5  # between two looks at whether a stop is asked for, or too little comes


class LiveSource(ReopenedSource):
    """A camera."""

    def __init__(
        self,
        url: str,
        emit: Emit,
        *,
        transport: str = "tcp",
        video: int | None = None,
        audio: int | Literal["all"] = ALL,
        give_up_s: float | None = None,
        timeouts: LiveTimeouts | None = None,
        deinterlace: Deinterlace = "auto",
        bits: int | None = 8,
    ) -> None:
        """``video`` and ``audio``: see ``streams_of``; ``bits``: see ``DepthConverter``."""
        super().__init__(redact(url), emit, give_up_s)
        self.url = url
        self._video, self._audio_number = video, audio
        self._opening = LiveOpening(url, transport)
        self._timeouts = timeouts or LiveTimeouts()
        self._clock = ClockSync()
        tell = partial(self._tell, Code.SRC_INTERLACED)
        self._deinterlacer = Deinterlacer(deinterlace, tell, waits=False, bits=bits)

    def _connection(self, stop: threading.Event) -> Iterator[Item]:
        """One connection, from opening to its end. Raises SourceError where it fails."""
        self._clock.reconnected()
        asked = monotonic()
        with ExitStack() as stack:
            container = self._opening.open(stack, self._timeouts)
            in_bursts = self._opening.is_playlist
            watch = LiveWatch(monotonic(), self._timeouts, asked=asked, in_bursts=in_bursts)
            try:
                yield from self._read(container, watch, stop)
            except (av.FFmpegError, OSError, ValueError) as error:  # PyAV's own, of damaged data
                raise self._opening.failure(error) from None
            finally:
                if not stop.is_set():
                    self._opening.ended(has_video=watch.has_video)

    def _read(
        self, container: av.container.InputContainer, watch: LiveWatch, stop: threading.Event
    ) -> Iterator[Item]:
        found = streams_of(container, self._video, self._audio_number)
        video, audio = found.video, found.audio
        stamps = kind_of_stamps(container)
        self._clock.reconnected(invented=stamps.invented, wrap_s=stamps.wrap_s)
        video.codec_context.thread_count = 1  # frame threads would delay by a frame each
        damage = Damage(video)
        orientations = OrientationTracker(keyframes=2)
        shape: tuple[int, int, str, Orientation] | None = None
        streams = [stream for stream in (video, audio) if stream is not None]
        pacer = Pacer() if self._opening.is_playlist else None
        for packet in self._packets(container, streams, watch, stop, pacer):
            if stop.is_set():
                return
            arrived = monotonic()
            if packet.stream is audio:
                yield from self._audio(packet, arrived, pacer)
                continue
            for image in self._decode(packet, damage):
                orientation = orientations.of(image)
                if not watch.at_live_edge:
                    continue
                now = image.width, image.height, image.format.name, orientation
                if now != shape:
                    shape = now
                    info = stream_info(video, audio, image, orientation)
                    how = self._opening.how
                    self._tell(Code.SRC_UP, f"{info.size} {info.codec} from {self.name}{how}")
                    self._deinterlacer.describe(info)
                if pacer is not None:
                    stop.wait(pacer.frame(image.time, arrived) - arrived)
                    arrived = monotonic()
                watch.delivered(arrived)
                first = watch.frames == 1
                yield from self._frames(image, orientation, arrived, damage, first=first)

    def _packets(
        self,
        container: av.container.InputContainer,
        streams: list[av.VideoStream | av.AudioStream],
        watch: LiveWatch,
        stop: threading.Event,
        pacer: Pacer | None,
    ) -> Iterator[av.Packet[Any]]:
        """Yields packets as they arrive. Raises SourceError where too few of them do."""
        if pacer is not None:
            yield from self._bursts(container, streams, watch, stop, pacer)
            return
        while not stop.is_set():
            asked = monotonic()
            try:
                for packet in demuxed(container, streams):
                    now = monotonic()
                    watch.arrived(now, asked)
                    if packet.stream.type == "video":
                        # what a read brings that is given up was there when it began
                        late = self._opening.is_rtsp and now - asked >= self._timeouts.read_s
                        watch.video(asked if late else now, keyframe=packet.is_keyframe)
                    self._look(watch, now)
                    yield packet
                    asked = monotonic()
            except (av.error.ExitError, OSError) as error:
                if not self._opening.is_rtsp or not _timed_out(error, monotonic() - asked):
                    raise
                self._look(watch, monotonic())
            else:
                return

    def _bursts(
        self,
        container: av.container.InputContainer,
        streams: list[av.VideoStream | av.AudioStream],
        watch: LiveWatch,
        stop: threading.Event,
        pacer: Pacer,
    ) -> Iterator[av.Packet[Any]]:
        """Yields packets of segments, read ahead; other renditions are not downloaded."""
        for stream in container.streams:
            if stream not in streams:
                stream.discard = av.stream.Discard.all
        with ReadAhead(container, streams) as ahead:
            for packet in ahead.packets(TICK_S):
                if stop.is_set():
                    return
                now = monotonic()
                pacer.read_to(ahead.newest_s)
                if packet is not None and packet.stream.type == "video":
                    watch.video(now, keyframe=packet.is_keyframe)
                self._look(watch, now)
                if packet is not None:
                    yield packet

    def _look(self, watch: LiveWatch, now: float) -> None:
        watch.check(now)
        waits_for = watch.waits_for(now)
        if waits_for is not None:
            self._tell(Code.SRC_WAITING, f"{self.name}: {waits_for}")

    def _decode(self, packet: av.Packet[Any], damage: Damage) -> list[av.VideoFrame]:
        """Returns the packet's new and undamaged images."""
        damage.take(packet)
        try:
            images = packet.decode()
        except av.FFmpegError as error:
            damage.failed(reason_of(error))
            images = []
        whole = [image for image in images if damage.is_whole(image)]
        if reason := damage.news():
            self._tell(Code.SRC_DAMAGED, f"{reason}; the last frame is held until a whole one")
        return whole

    def _frames(
        self,
        image: av.VideoFrame,
        orientation: Orientation,
        arrived: float,
        damage: Damage,
        *,
        first: bool,
    ) -> Iterator[Item]:
        pts, broken = self._clock.frame(image.time, arrived)
        gone, damage.since_delivered = damage.since_delivered, False
        if broken and not first:
            self._jumped()
        sent = image.opaque
        yield from self._deinterlacer.frames(
            image,
            pts=pts,
            time_base=TICKS,
            arrived=arrived,
            discontinuous=broken or gone,
            packet_bytes=sent.size if isinstance(sent, SentFrame) else 0,
            orientation=orientation,
            captured=sent.captured if isinstance(sent, SentFrame) else 0.0,
        )

    def _jumped(self) -> None:
        self.jumps += 1
        done = "they are rebased"
        if self._clock.by_arrival:
            done = "as they do again and again: frames go by their arrival now"
        self._tell(Code.SRC_TIME, f"the time stamps jumped; {done}")

    def _audio(
        self, packet: av.Packet[Any], arrived: float, pacer: Pacer | None
    ) -> Iterator[AudioFrame]:
        if packet.pts is None:
            return
        source_s = float(packet.pts * packet.time_base)
        if pacer is not None:
            arrived = pacer.audio(source_s, arrived)
        lasts_s = float((packet.duration or 0) * packet.time_base)
        time_s = self._clock.audio_s(source_s, arrived, lasts_s)
        if time_s is not None:
            yield AudioFrame(time_s, codec_of(packet.stream), packet)


def _timed_out(error: Exception, waited_s: float) -> bool:
    """Whether a read has only taken as long as it may: FFmpeg calls that EXIT, or at times EIO.

    Reading goes on where it was.
    """
    return isinstance(error, av.error.ExitError) or (
        getattr(error, "errno", None) == errno.EIO and waited_s > WAITED_S
    )
