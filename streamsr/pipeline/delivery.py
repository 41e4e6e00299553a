"""Delivery: upscaled frames encoded once, their packets and the audio handed to the sinks."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Protocol

from streamsr.core.errors import OutputError
from streamsr.core.events import Code
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings, RecordSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.encoder_options import RECORDED_BUFFER, for_recordings, is_for_recordings
from streamsr.media.source import AudioFrame, Piece, SourceInfo
from streamsr.media.tracks.piece_queue import PieceQueue
from streamsr.pipeline.channel import ByTime, Channel, Overflow

__all__ = ["Delivery", "FrameSink", "PacketSink"]

HOLD_AFTER_S = 0.5  # without a frame, or three frames' time: the last one is shown again
HOLD_RATE = 30  # frames a second at most
APART_S = 2.0  # at most, then; and frames may be as a first one does not tell when the next is due
AUDIO_KEPT = 2_000  # pieces waiting for their frame: 40 s of what most codecs make


class FrameSink(Protocol):
    """Where upscaled frames go as they are. Raises OutputError where it fails."""

    def write(self, frame: Frame, info: SourceInfo) -> None: ...

    @property
    def not_kept(self) -> Sequence[str]: ...

    def close(self) -> None: ...


class PacketSink(Protocol):
    """Where packets and audio go, all from one thread. Raises OutputError where it fails."""

    @property
    def tracks(self) -> frozenset[Track]:
        """The tracks that it wants now. Video that no sink wants is not encoded."""

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        """Takes a packet of frames of ``size``, width and height; the first one is a keyframe.

        ``info`` is what the source is now.
        """

    def audio(self, audio: AudioFrame) -> None:
        """Takes a piece of the audio that is heard."""

    @property
    def keeps_all(self) -> bool:
        """Whether ``other`` takes what only a file keeps: more audio, and subtitles."""

    def other(self, piece: Piece) -> None: ...

    @property
    def not_kept(self) -> Sequence[str]:
        """What it could not keep of what the source carries, for people."""

    def close(self) -> None: ...


class Delivery:
    """Encodes frames and hands them on, all in one thread; any thread may call ``audio`` and
    ``request_keyframe``.

    A sink that fails is closed and left out while others remain; the last one's failure is raised.
    ``tell`` is called with what becomes an event of the stream.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        meter: Meter,
        *,
        record: RecordSettings | None = None,
        frame_sinks: Sequence[FrameSink] = (),
        packet_sinks: Sequence[PacketSink] = (),
        tell: Callable[[Code, str], None],
        waiting: Channel[Piece] | PieceQueue | None = None,
    ) -> None:
        self._settings = settings
        self._record = record
        shared = record is None or is_for_recordings(settings, record)
        self._output = (Track.OUTPUT, Track.RECORD) if shared else (Track.OUTPUT,)
        self._recorded: tuple[Track, ...] = () if shared else (Track.RECORD,)
        self._beside = ThreadPoolExecutor(1, "encoder-of-recordings")  # starts with its first frame
        self._meter = meter
        self._frame_sinks = list(frame_sinks)
        self._packet_sinks = list(packet_sinks)
        self._tell = tell
        if waiting is None:
            waiting = Channel(AUDIO_KEPT, Overflow.DROP_OLDEST)
        self._waiting, self._left = waiting, ByTime[Piece](waiting)
        self._all: tuple[PacketSink | FrameSink, ...] = (*packet_sinks, *frame_sinks)
        self._encoders: dict[Track, VideoEncoder] = {}
        self._info: SourceInfo | None = None  # of the newest frame
        self._begun = False  # a packet of video has gone out
        self._sent_s = 0.0  # monotonic: when ``newest`` was sent
        self._told_s = 0.0  # likewise: when it was told that frames are held
        self.newest: Frame | None = None  # the newest upscaled frame, or its repetition
        self._apart: deque[float] = deque(maxlen=2)  # seconds between the newest frames
        self._came: float | None = None  # the time of the newest that came, in seconds
        self._holding = False  # the newest one was sent again
        self._overtaken = False  # repetitions have been sent, and frames may be earlier than they

    @property
    def not_kept(self) -> tuple[str, ...]:
        """What files could not keep of what the source carries, for people."""
        return tuple(told for sink in self._all for told in sink.not_kept)

    def audio(self, audio: Piece) -> None:
        """Keeps a piece of audio, or a subtitle, until the frame it belongs to has gone out.

        Where too many of a live source wait, the oldest is dropped; of a file, none.
        """
        wanted = [sink for sink in self._packet_sinks if audio.heard or sink.keeps_all]
        if wanted and self._waiting.send(audio):
            self._meter.count("audio_dropped")
            if self._waiting.dropped == 1:
                self._tell(Code.AUDIO_DROPPED, "no frame comes for long: old audio is dropped")

    def request_keyframe(self, tracks: frozenset[Track]) -> None:
        """Makes the next frame of these tracks a keyframe."""
        for coded in ((Track.INPUT,), self._output, self._recorded):
            if tracks.intersection(coded) and coded[0] in self._encoders:
                self._encoders[coded[0]].request_keyframe()

    def deliver(self, frame: Frame, upscaled: Frame, info: SourceInfo) -> None:
        """Encodes a frame and its upscaled one, sends both, and counts that it left."""
        if not (self._came is None or upscaled.discontinuous or upscaled.after_gap):
            self._apart.append(upscaled.time_s - self._came)
        self._came = upscaled.time_s
        if self._overtaken:
            pts = self._after_held(upscaled, info)
            frame, upscaled = replace(frame, pts=pts), replace(upscaled, pts=pts)
        self.newest, self._sent_s, self._holding = upscaled, monotonic(), False
        for frame_sink in list(self._frame_sinks):
            with self._meter.stage("write"):
                self._guarded(frame_sink, partial(frame_sink.write, upscaled, info))
        if self._packet_sinks:
            self._hand_on(self._encoded((Track.INPUT,), frame, info))
            self._send(upscaled, info)
            self._release_audio(upscaled.time_s)
        self._meter.left(frame.arrived, f"{upscaled.width}x{upscaled.height}")

    def hold_after_s(self, info: SourceInfo) -> float:
        """Returns how long to wait for a live frame before the last one is sent again."""
        if self._holding:
            return self._frame_s(info)
        return max(HOLD_AFTER_S, 3 / float(info.rate), 3 * min(self._apart, default=APART_S))

    def _frame_s(self, info: SourceInfo) -> float:
        """How long a frame that is sent again lasts: a source may have fewer than it says."""
        usual_s = min(*self._apart, APART_S) if len(self._apart) == 2 else 0.0
        return max(1 / min(float(info.rate), HOLD_RATE), usual_s)

    def hold(self, info: SourceInfo) -> None:
        """Sends the last frame again, later by the time that has passed since it was sent: it lags
        as a new frame would, so that the next new frame comes after it."""
        newest = self.newest
        if newest is None or not self._packet_sinks:
            return
        now_s = monotonic()
        passed_s = now_s - self._sent_s
        self._sent_s, self._holding, self._overtaken = now_s, True, True
        pts = newest.pts + max(1, round(passed_s / newest.time_base))
        self.newest = replace(newest, pts=pts, arrived=newest.arrived + passed_s, captured=0.0)
        self._meter.count("held")
        if now_s - self._told_s >= 1.0:
            self._told_s = now_s
            self._tell(Code.FRAMES_HELD, "no frame comes: the last one is repeated")
        self._send(self.newest, info)
        self._release_audio(self.newest.time_s)

    def finish(self, until_s: float | None = None) -> None:
        """Sends what encoders still hold and the audio of the last frame, or all until
        ``until_s``; the sinks stay open."""
        for tracks in ((Track.INPUT,), self._output, self._recorded):
            if tracks and tracks[0] in self._encoders:
                self._hand_on(self._coded(tracks, self._encoders[tracks[0]], None))
        if self.newest is not None:
            last_s = self.newest.time_s + (self._apart[-1] if self._apart else 0.04)
            self._release_audio(last_s if until_s is None else until_s)
        if until_s is not None:  # what is later was not asked for
            self._left.drop()

    def close(self) -> None:
        """Closes every sink, each whatever the others do; audio that is left counts as dropped."""
        if self._packet_sinks:
            self._meter.count("audio_dropped", len(self._left))
        self._beside.shutdown()
        self._waiting.close()
        sinks: list[FrameSink | PacketSink] = [*self._packet_sinks, *self._frame_sinks]
        for sink in sinks:
            self._guarded(sink, sink.close)

    def _after_held(self, frame: Frame, info: SourceInfo) -> int:
        """Returns the pts of a frame after repetitions of an earlier one, which may have got ahead
        of it: half a frame's time after what was sent last, until it is later by itself."""
        newest = self.newest or frame
        earliest = newest.pts + max(1, round(self._frame_s(info) / 2 / frame.time_base))
        self._overtaken = frame.pts < earliest
        return max(frame.pts, earliest)

    def _send(self, upscaled: Frame, info: SourceInfo) -> None:
        """Encodes and sends an upscaled frame; for recordings in a thread beside this one."""
        recorded: Future[list[Packet]] | None = None
        if self._wanted(self._recorded):
            recorded = self._beside.submit(self._encoded, self._recorded, upscaled, info)
        try:
            self._hand_on(self._encoded(self._output, upscaled, info))
        finally:
            if recorded is not None:
                self._hand_on(self._unless_failed(recorded))

    def _unless_failed(self, recorded: Future[list[Packet]]) -> list[Packet]:
        """Returns a recording's packets, or ends it where they cannot be made."""
        try:
            return recorded.result()
        except OutputError as error:
            self._recorded = ()
            self._tell(Code.OUT_FAILED, f"{error}; nothing is recorded any more")
            return []

    def _wanted(self, tracks: Iterable[Track]) -> list[Track]:
        """Returns those that any sink wants now."""
        return [t for t in tracks if any(t in sink.tracks for sink in self._packet_sinks)]

    def _encoded(self, tracks: tuple[Track, ...], frame: Frame, info: SourceInfo) -> list[Packet]:
        """Encodes a frame, once for all of ``tracks``, if any is wanted."""
        if not self._wanted(tracks):
            return []
        self._info, encoder = info, self._encoders.get(tracks[0])
        if encoder is None:
            encoder = self._encoders[tracks[0]] = self._encoder(tracks[0], frame, info)
        return self._coded(tracks, encoder, frame)

    def _coded(
        self, tracks: tuple[Track, ...], encoder: VideoEncoder, frame: Frame | None
    ) -> list[Packet]:
        """Returns the packets of a frame, or of what an encoder still holds, for each track."""
        with self._meter.stage(f"encode {tracks[0]}"):
            coded = encoder.flush() if frame is None else encoder.encode(frame)
        if fallen_back := encoder.fallen_back():
            self._tell(Code.ENCODER_FALLBACK, f"{tracks[0]} video: {fallen_back}")
        if news := encoder.news():
            self._meter.count("encoder_faults", bool(encoder.trouble))
            code = Code.OUT_FAILED if encoder.trouble else Code.OUT_UP
            self._tell(code, f"{tracks[0]} video: {news}")
        packets = encoder.packets(tracks[0], coded, frame, self._sent_s)
        return [replace(packet, track=track) for packet in packets for track in tracks]

    def _encoder(self, track: Track, frame: Frame, info: SourceInfo) -> VideoEncoder:
        aspect = info.aspect_of(frame.width, frame.height)
        if self._record is None or track is not Track.RECORD:
            return VideoEncoder(self._settings, frame, info.rate, aspect)
        settings = for_recordings(self._record, frame.width, frame.height)
        return VideoEncoder(settings, frame, info.rate, aspect, RECORDED_BUFFER)

    def _hand_on(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            assert self._info is not None  # of the frame that was encoded
            encoder = self._encoders.get(packet.track) or self._encoders[Track.OUTPUT]
            act, self._begun = (packet, self._info, (encoder.width, encoder.height)), True
            with self._meter.stage("write"):
                for sink in list(self._packet_sinks):
                    if packet.track in sink.tracks:
                        self._guarded(sink, partial(sink.video, *act))

    def _release_audio(self, until_s: float) -> None:
        with self._meter.stage("audio"):
            opening = self._encoders and not self._begun  # what comes now would find no track
            for audio in () if opening else self._left.due(until_s):
                for sink in list(self._packet_sinks):
                    if isinstance(audio, AudioFrame) and audio.heard:
                        self._guarded(sink, partial(sink.audio, audio))
                    elif sink.keeps_all:
                        self._guarded(sink, partial(sink.other, audio))

    def _guarded(self, sink: FrameSink | PacketSink, act: Callable[[], None]) -> None:
        try:
            act()
        except OutputError as error:
            self._frame_sinks = [s for s in self._frame_sinks if s is not sink]
            self._packet_sinks = [s for s in self._packet_sinks if s is not sink]
            with suppress(OutputError):  # it has failed already
                sink.close()
            if not self._frame_sinks and not self._packet_sinks:
                raise
            self._tell(Code.OUT_FAILED, str(error))
