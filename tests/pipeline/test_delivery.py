"""Audio on its way out: it waits for its frame, and what is dropped meanwhile is counted."""

from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest
from peers.encoders import RIGHT, FailingContext

from streamsr.core.errors import OutputError
from streamsr.core.events import Code
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings, RecordSettings
from streamsr.media.hardware.choice import HardwareChoice
from streamsr.media.source import AudioFrame, Piece, SourceInfo
from streamsr.pipeline.channel import Channel, Overflow
from streamsr.pipeline.delivery import Delivery
from streamsr.zoo.measured import Measured

RATE = Fraction(25)
TICKS = Fraction(1, 90_000)
INFO = SourceInfo(64, 48, RATE, Fraction(1), "rawvideo", "yuv420p")


class Sink:
    """A sink that keeps when its audio is heard."""

    tracks: frozenset[Track] = frozenset({Track.OUTPUT})
    keeps_all = False
    not_kept = ()

    def __init__(self) -> None:
        self.heard: list[float] = []
        self.shown: list[float] = []

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        assert size == (64, 48)
        self.shown.append(float(packet.pts * packet.time_base))

    def audio(self, audio: AudioFrame) -> None:
        self.heard.append(audio.time_s)

    def other(self, piece: Piece) -> None:
        raise AssertionError(piece)

    def close(self) -> None: ...


class Run:
    """A delivery that keeps three pieces of audio."""

    def __init__(
        self,
        *sinks: Sink,
        encoder: EncoderSettings = EncoderSettings(),  # noqa: B008 - it is frozen
        record: dict[str, object] | None = None,
    ) -> None:
        self.meter = Meter()
        self.events: list[Code] = []
        self.delivery = Delivery(
            encoder,
            self.meter,
            record=None if record is None else RecordSettings.model_validate(record),
            packet_sinks=sinks,
            tell=lambda code, message: self.events.append(code),
            waiting=Channel(3, Overflow.DROP_OLDEST),
        )

    def audio(self, *times_s: float) -> None:
        for time_s in times_s:
            self.delivery.audio(AudioFrame(time_s, "aac"))

    def made(self, number: int) -> Frame:
        luma, chroma = np.full((48, 64), 90, np.uint8), np.full((24, 32), 128, np.uint8)
        return Frame((luma, chroma, chroma), ColourTags(1, 1, 1), number * 3600, TICKS)

    def frame(self, number: int) -> None:
        frame = self.made(number)
        self.delivery.deliver(frame, frame, INFO)

    def hold(self, monkeypatch: pytest.MonkeyPatch, *passed_s: float) -> None:
        """Repeats the last frame, so many seconds after each other."""
        for now_s in accumulate(passed_s, initial=self.delivery._sent_s):
            monkeypatch.setattr("streamsr.pipeline.delivery.monotonic", lambda now=now_s: now)
            if now_s != self.delivery._sent_s:
                self.delivery.hold(INFO)


def test_audio_waits_for_its_frame() -> None:
    sink = Sink()
    run = Run(sink)
    run.audio(0.0, 0.03, 0.05)
    assert sink.heard == []
    run.frame(0)
    assert sink.heard == [0.0]
    run.frame(1)
    assert sink.heard == [0.0, 0.03]
    run.delivery.finish()
    assert sink.heard == [0.0, 0.03, 0.05], "the last frame lasts as long as the one before"
    assert (run.meter["audio_dropped"], run.events) == (0, [])


@pytest.mark.parametrize("late", [5, 500])
def test_audio_that_finds_no_room_is_counted_and_told_once(late: int) -> None:
    sink = Sink()
    run = Run(sink)
    run.frame(0)
    run.audio(*(0.05 + n / 1000 for n in range(late)))
    assert (run.meter["audio_dropped"], run.events) == (late - 3, [Code.AUDIO_DROPPED])
    run.frame(100)
    assert sink.heard == [0.05 + n / 1000 for n in range(late - 3, late)]


def test_nobody_misses_audio_where_only_frames_go_out() -> None:
    run = Run()
    run.audio(0.0, 0.1, 0.2, 0.3, 0.4)
    assert (run.meter["audio_dropped"], run.events) == (0, [])


def test_audio_that_is_left_at_the_end_counts_as_dropped() -> None:
    sink = Sink()
    run = Run(sink)
    run.audio(0.0, 5.0, 6.0)
    run.frame(0)
    run.delivery.finish()
    run.delivery.close()
    assert sink.heard == [0.0]
    assert run.meter["audio_dropped"] == 2


def test_what_was_overtaken_by_repetitions_is_not_squeezed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device stalls for a second: 25 frames come at once, earlier than what was shown."""
    sink = Sink()
    run = Run(sink)
    run.frame(0)
    run.frame(1)
    run.hold(monkeypatch, 0.5, *[0.04] * 12)
    for number in range(2, 100):
        run.frame(number)
    gaps = [b - a for a, b in pairwise(sink.shown)]
    assert min(gaps) >= 0.0199
    assert sink.shown[-1] == pytest.approx(99 / RATE), "they are on time again"


@pytest.mark.parametrize("phase_s", [0.001, 0.019, 0.03])
def test_a_camera_that_returns_is_no_closer_than_half_a_frame(
    monkeypatch: pytest.MonkeyPatch, phase_s: float
) -> None:
    sink = Sink()
    run = Run(sink)
    run.frame(0)
    run.hold(monkeypatch, 1.0 - phase_s)
    for number in range(25, 30):
        run.frame(number)
    assert min(b - a for a, b in pairwise(sink.shown)) >= 0.0199
    assert sink.shown[3:] == pytest.approx([26 / RATE, 27 / RATE, 28 / RATE, 29 / RATE])


def test_it_is_told_once_a_second_that_frames_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Sink())
    run.frame(0)
    run.hold(monkeypatch, 0.5, *[0.04] * 40)
    assert run.events == [Code.FRAMES_HELD] * 2


def test_a_slow_camera_is_waited_for_and_repeated_at_its_own_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has a frame every two seconds, and says that it has 25 a second."""
    run = Run(sink := Sink())
    run.frame(0)
    assert run.delivery.hold_after_s(INFO) >= 5.5, "nobody knows yet when the next one is due"
    for number in (50, 100, 150):
        run.frame(number)
        assert run.delivery.hold_after_s(INFO) == pytest.approx(6.0)
    run.hold(monkeypatch, 6.0)
    assert run.delivery.hold_after_s(INFO) == pytest.approx(2.0)
    run.hold(monkeypatch, 2.0)
    for number in (355, 405, 455):
        run.frame(number)
    assert min(b - a for a, b in pairwise(sink.shown)) >= 1.0


def test_audio_goes_on_while_the_last_frame_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    run = Run(sink)
    run.frame(0)
    run.audio(0.0, 0.3, 0.9)
    run.hold(monkeypatch, 0.5)
    assert sink.heard == [0.0, 0.3]


class PacketsOf(Sink):
    """A sink of the tracks that it is told, which keeps their packets."""

    def __init__(self, *tracks: Track) -> None:
        super().__init__()
        self.tracks = frozenset(tracks)
        self.packets: list[Packet] = []

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        assert size == (64, 48)
        self.packets.append(packet)

    def of(self, track: Track) -> list[Packet]:
        return [packet for packet in self.packets if packet.track is track]


def recorded(sink: PacketsOf, encoder: EncoderSettings, **record: object) -> set[str]:
    """Deliver a few frames and return the stages that encoded them."""
    run = Run(sink, encoder=encoder, record={"folder": "recordings", **record})
    for number in range(5):
        run.frame(number)
    run.delivery.finish()
    run.delivery.close()
    return {stage for stage in run.meter.cpu_ms() if stage.startswith("encode")}


VIEWERS = EncoderSettings(preset="ultrafast", crf=18, max_kbit_s=16_000)


def test_a_recording_of_another_quality_is_encoded_besides() -> None:
    sink = PacketsOf(Track.OUTPUT, Track.RECORD)
    assert recorded(sink, VIEWERS) == {"encode output", "encode record"}
    ours, theirs = sink.of(Track.RECORD), sink.of(Track.OUTPUT)
    assert [p.pts for p in ours] == [p.pts for p in theirs] == [n * 3600 for n in range(5)]
    assert ours[0].keyframe
    assert ours[0].data != theirs[0].data
    assert [p.track for p in sink.packets] == [Track.OUTPUT, Track.RECORD] * 5


def test_what_nobody_watches_is_encoded_for_the_recording_alone() -> None:
    sink = PacketsOf(Track.RECORD)
    assert recorded(sink, VIEWERS) == {"encode record"}
    assert recorded(PacketsOf(Track.OUTPUT), VIEWERS) == {"encode output"}


def test_a_recording_of_the_same_quality_is_what_viewers_get() -> None:
    sink = PacketsOf(Track.OUTPUT, Track.RECORD)
    same = {"preset": "ultrafast", "crf": 18, "kbit_s": 16_000}
    assert recorded(sink, VIEWERS, **same) == {"encode output"}
    assert [p.data for p in sink.of(Track.RECORD)] == [p.data for p in sink.of(Track.OUTPUT)]
    assert len(sink.packets) == 10
    assert recorded(PacketsOf(Track.RECORD), VIEWERS, **same) == {"encode output"}


def test_viewers_go_on_where_a_recording_cannot_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = VIEWERS.model_copy(update={"preset": "none"})
    monkeypatch.setattr("streamsr.pipeline.delivery.for_recordings", lambda *_: unknown)
    sink = PacketsOf(Track.OUTPUT, Track.RECORD)
    run = Run(sink, encoder=VIEWERS, record={"folder": "recordings"})
    for number in range(5):
        run.frame(number)
    run.delivery.finish()
    run.delivery.close()
    assert [p.track for p in sink.packets] == [Track.OUTPUT] * 5
    assert run.events == [Code.OUT_FAILED], "it is said once"


@pytest.mark.parametrize("asked", [Track.OUTPUT, Track.RECORD])
def test_a_keyframe_is_of_the_tracks_that_it_is_asked_of(asked: Track) -> None:
    sink = PacketsOf(Track.OUTPUT, Track.RECORD)
    run = Run(sink, encoder=VIEWERS, record={"folder": "recordings"})
    for number in range(4):
        if number == 2:
            run.delivery.request_keyframe(frozenset({asked}))
        run.frame(number)
    run.delivery.close()
    for track in (Track.OUTPUT, Track.RECORD):
        keyframes = [packet.keyframe for packet in sink.of(track)]
        assert keyframes == [True, False, track is asked, False]


def test_a_hardware_encoder_that_fails_is_told_of_and_the_cpu_encodes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    choice = HardwareChoice([RIGHT], Measured(tmp_path))
    monkeypatch.setattr("streamsr.media.encoder.hardware_choice", lambda: choice)
    sink = Sink()
    run = Run(sink)
    run.frame(0)
    encoder = run.delivery._encoders[Track.OUTPUT]
    assert encoder.context.pix_fmt == "nv12"
    encoder.context = FailingContext(encoder.context, 2)
    for number in range(1, 4):
        run.frame(number)
    run.delivery.close()
    assert sink.shown == pytest.approx([0, 0.04, 0.08, 0.12])
    assert run.events == [Code.ENCODER_FALLBACK]


@pytest.mark.parametrize("track", [Track.OUTPUT, Track.INPUT, Track.RECORD])
def test_an_encoder_that_fails_is_begun_again_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, track: Track
) -> None:
    monkeypatch.setattr("streamsr.media.encoder.AGAIN_S", 0.0)
    sinks = {wanted: Sink() for wanted in (Track.INPUT, Track.OUTPUT, Track.RECORD)}
    for wanted, sink in sinks.items():
        sink.tracks = frozenset({wanted})
    run = Run(*sinks.values(), record={"folder": "x", "kbit_s": 700})
    run.frame(0)
    encoder = run.delivery._encoders[track]
    encoder.context = FailingContext(encoder.context, 2)
    for number in range(1, 6):
        run.frame(number)
    run.delivery.close()
    missing = {wanted: 6 - len(sink.shown) for wanted, sink in sinks.items()}
    assert missing == {wanted: int(wanted is track) for wanted in sinks}
    assert sinks[track].shown == pytest.approx([0, 0.04, 0.12, 0.16, 0.2])
    assert run.events == [Code.OUT_FAILED, Code.OUT_UP]
    assert run.meter["encoder_faults"] == 1


def test_a_file_whose_encoder_fails_is_not_said_to_be_whole() -> None:
    """It holds frames back, which are gone with it."""
    run = Run(Sink(), encoder=EncoderSettings(low_delay=False))
    run.frame(0)
    encoder = run.delivery._encoders[Track.OUTPUT]
    encoder.context = FailingContext(encoder.context, 2)
    run.frame(1)
    with pytest.raises(OutputError, match="encoder: Cannot allocate memory"):
        run.frame(2)
