"""The way out of a pipeline: upscaled frames encoded once, their packets and the audio to sinks."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from time import monotonic
from typing import Protocol

from streamsr.core.errors import OutputError
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.source import AudioFrame, SourceInfo

__all__ = ["Delivery", "FrameSink", "PacketSink"]

SOUNDS_KEPT = 2_000  # pieces waiting for their picture


class FrameSink(Protocol):
    """Where upscaled frames go as they are. Raises OutputError where it fails."""

    def write(self, frame: Frame, info: SourceInfo) -> None: ...

    def close(self) -> None: ...


class PacketSink(Protocol):
    """Where packets and audio go, all from one thread. Raises OutputError where it fails."""

    @property
    def tracks(self) -> frozenset[Track]:
        """The renditions it wants now: of OUTPUT and INPUT. What nobody wants is not encoded."""

    def open(self, keyframe: Packet, rate: Fraction, info: SourceInfo) -> None:
        """Begin with the first OUTPUT keyframe, which ``video`` is given as well."""

    def video(self, packet: Packet) -> None: ...

    def audio(self, audio: AudioFrame) -> None: ...

    def close(self) -> None: ...


Sink = FrameSink | PacketSink


class Delivery:
    """Encodes and hands on. One thread calls it; ``audio`` and ``request_keyframe`` any thread.

    A sink that fails is closed and left out while others remain; the last one's failure is raised.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        meter: Meter,
        *,
        frame_sinks: Sequence[FrameSink] = (),
        packet_sinks: Sequence[PacketSink] = (),
        failed: Callable[[OutputError], None],
    ) -> None:
        self._settings = settings
        self._meter = meter
        self._frame_sinks = list(frame_sinks)
        self._packet_sinks = list(packet_sinks)
        self._opened: list[PacketSink] = []
        self._failed = failed
        self._audios: deque[AudioFrame] = deque(maxlen=SOUNDS_KEPT)
        self._encoders: dict[Track, VideoEncoder] = {}
        self._last: Frame | None = None  # the newest upscaled frame, or its repetition
        self._sent = 0.0  # monotonic: when that was
        self.interval_s = 0.04  # between the last two pictures

    def audio(self, audio: AudioFrame) -> None:
        """Keep a piece of audio until the picture it belongs to has gone out."""
        self._audios.append(audio)

    def request_keyframe(self) -> None:
        """Make the next picture of every rendition a keyframe."""
        for encoder in list(self._encoders.values()):
            encoder.request_keyframe()

    def deliver(self, frame: Frame, upscaled: Frame, info: SourceInfo) -> None:
        """Send a frame on its way out, and note in the meter that it left."""
        if self._last is not None and not (upscaled.discontinuous or upscaled.after_gap):
            self.interval_s = upscaled.time_s - self._last.time_s
        self._last, self._sent = upscaled, monotonic()
        for frame_sink in list(self._frame_sinks):
            with self._meter.stage("write"):
                self._guarded(frame_sink, partial(frame_sink.write, upscaled, info))
        if self._packet_sinks:
            self._send(Track.INPUT, frame, info)
            self._send(Track.OUTPUT, upscaled, info)
            self._release_audio(upscaled.time_s)
        self._meter.left(frame.arrived, f"{upscaled.width}x{upscaled.height}")

    def hold(self, info: SourceInfo) -> None:
        """Show the last picture again, later by the time that has gone by since it was sent.

        It lags as a new picture would, so that the next new picture comes after it.
        """
        if self._last is None or not self._packet_sinks:
            return
        now = monotonic()
        step = round((now - self._sent) / self._last.time_base)
        self._sent = now
        self._last = replace(self._last, pts=self._last.pts + max(1, step))
        self._meter.count("held")
        self._send(Track.OUTPUT, self._last, info)

    def finish(self) -> None:
        """Send the audio of the last picture; the sinks stay open."""
        if self._last is not None:
            self._release_audio(self._last.time_s + self.interval_s)

    def close(self) -> None:
        """Close every sink, each whatever the others do."""
        sinks: list[Sink] = [*self._packet_sinks, *self._frame_sinks]
        for sink in sinks:
            self._guarded(sink, sink.close)

    def _send(self, track: Track, frame: Frame, info: SourceInfo) -> None:
        if not any(track in sink.tracks for sink in self._packet_sinks):
            return
        encoder = self._encoders.get(track)
        if encoder is None:
            encoder = VideoEncoder(self._settings, frame, info.rate, info.sample_aspect)
            self._encoders[track] = encoder
        with self._meter.stage(f"encode {track}"):
            encoded = encoder.encode(frame)
        for packet in encoded:
            assert packet.pts is not None
            self._write(
                Packet(track, bytes(packet), packet.pts, encoder.time_base, packet.is_keyframe),
                info,
            )

    def _write(self, packet: Packet, info: SourceInfo) -> None:
        def write(sink: PacketSink) -> None:
            if packet.track == Track.OUTPUT and sink not in self._opened:
                self._opened.append(sink)
                sink.open(packet, info.rate, info)
            sink.video(packet)

        with self._meter.stage("write"):
            for sink in list(self._packet_sinks):
                if packet.track in sink.tracks:
                    self._guarded(sink, partial(write, sink))

    def _release_audio(self, until_s: float) -> None:
        with self._meter.stage("audio"):
            while self._audios and self._audios[0].time_s <= until_s:
                audio = self._audios.popleft()
                for sink in list(self._opened):
                    self._guarded(sink, partial(sink.audio, audio))

    def _guarded(self, sink: Sink, act: Callable[[], None]) -> None:
        try:
            act()
        except OutputError as error:
            self._frame_sinks = [s for s in self._frame_sinks if s is not sink]
            self._packet_sinks = [s for s in self._packet_sinks if s is not sink]
            self._opened = [s for s in self._opened if s is not sink]
            with suppress(OutputError):  # it has failed already
                sink.close()
            if not self._frame_sinks and not self._packet_sinks:
                raise
            self._failed(error)
