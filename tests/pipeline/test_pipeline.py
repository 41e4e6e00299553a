"""The data path: exact accounting, limits, sinks that fail, sources that stop."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import monotonic

import av
import pytest
import torch
from peers import read_number

from streamsr.core.errors import InputError, OutputError
from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Summary
from streamsr.core.packet import Packet, Track
from streamsr.engine.engines import Engines
from streamsr.media.demo import DemoSource
from streamsr.media.files import FileSource
from streamsr.media.scene import Scene
from streamsr.media.source import AudioFrame, Item, Source, SourceInfo
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.capture import Limits
from streamsr.pipeline.delivery import FrameSink, PacketSink
from streamsr.pipeline.model_session import Step
from streamsr.pipeline.pipeline import Pipeline

CPU = torch.device("cpu")
PLAIN = SlidingWindow(Resample(), Facts(4, 1, 0, Colour.LUMA))


class Kept:
    """A sink of either kind that keeps what it is given."""

    tracks = frozenset({Track.OUTPUT, Track.INPUT})

    def __init__(self, fail_at: int | None = None) -> None:
        self.frames: list[Frame] = []
        self.packets: list[Packet] = []
        self.audios: list[AudioFrame] = []
        self.closed = 0
        self._fail_at = fail_at

    def write(self, frame: Frame, info: SourceInfo) -> None:
        if len(self.frames) == self._fail_at:
            raise OutputError("output kept: no room")
        self.frames.append(frame)

    def open(self, keyframe: Packet, rate: Fraction, info: SourceInfo) -> None:
        assert keyframe.keyframe

    def video(self, packet: Packet) -> None:
        if len(self.packets) == self._fail_at:
            raise OutputError("output kept: no room")
        self.packets.append(packet)

    def audio(self, audio: AudioFrame) -> None:
        self.audios.append(audio)

    def close(self) -> None:
        self.closed += 1


async def run(
    source: Source,
    *,
    frame_sinks: list[FrameSink] | None = None,
    packet_sinks: list[PacketSink] | None = None,
    limits: Limits | None = None,
    events: list[Event] | None = None,
    model: SlidingWindow = PLAIN,
) -> Summary:
    with Engines(CPU) as engines:
        pipeline = Pipeline(
            "test",
            source,
            [Step("plain", engines.of(model))],
            emit=(events if events is not None else []).append,
            frame_sinks=frame_sinks or [],
            packet_sinks=packet_sinks or [],
            limits=limits,
        )
        async with asyncio.timeout(30):
            return await pipeline.run()


def file_source(path: Path) -> FileSource:
    return FileSource(str(path), lambda event: None)


async def test_a_file_goes_through_whole_and_in_order(clip: Callable[..., Path]) -> None:
    kept = Kept()
    summary = await run(file_source(clip(b_frames=2)), frame_sinks=[kept])
    assert [read_number(frame.planes[0]) for frame in kept.frames] == list(range(100))
    assert (summary.frames_in, summary.frames_out, summary.frames_dropped) == (100, 100, 0)
    assert kept.closed == 1


async def test_missing_frames_keep_their_time(clip: Callable[..., Path]) -> None:
    kept = Kept()
    await run(file_source(clip(missing=(3, 4, 5, 60))), frame_sinks=[kept])
    numbers = [read_number(frame.planes[0]) for frame in kept.frames]
    assert numbers == [n for n in range(100) if n not in (3, 4, 5, 60)]
    assert [round(frame.time_s * 25) for frame in kept.frames] == numbers


async def test_odd_sizes_are_served_too(clip: Callable[..., Path], tmp_path: Path) -> None:
    frames = tmp_path / "odd.mkv"
    with av.open(str(frames), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 65, 49, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame(65, 49, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    kept = Kept()
    summary = await run(file_source(frames), packet_sinks=[kept])
    assert (summary.input, summary.output, summary.frames_out) == ("65x49", "260x196", 3)
    assert len(kept.packets) == 6


async def test_both_renditions_carry_the_same_times(clip: Callable[..., Path]) -> None:
    kept = Kept()
    await run(file_source(clip()), packet_sinks=[kept])
    times = {
        track: [p.pts * p.time_base for p in kept.packets if p.track == track]
        for track in (Track.OUTPUT, Track.INPUT)
    }
    assert times[Track.OUTPUT] == times[Track.INPUT]
    assert len(times[Track.OUTPUT]) == 100
    assert kept.audios, "audio follows its pictures"


async def test_limits_stop_at_the_frame(clip: Callable[..., Path]) -> None:
    by_frames, by_seconds = Kept(), Kept()
    await run(file_source(clip()), frame_sinks=[by_frames], limits=Limits(frames=7))
    await run(file_source(clip()), frame_sinks=[by_seconds], limits=Limits(seconds=1.0))
    assert (len(by_frames.frames), len(by_seconds.frames)) == (7, 25)


async def test_seconds_of_a_live_source_count_from_its_first_picture() -> None:
    class Late(DemoSource):
        def items(self, stop: threading.Event) -> Iterator[Item]:
            stop.wait(1.5)
            yield from super().items(stop)

    source = Late(Scene())
    summary = await run(source, frame_sinks=[Kept()], limits=Limits(seconds=2.0))
    assert 40 <= summary.frames_in <= 52
    assert summary.frames_in == summary.frames_out + summary.frames_dropped


async def test_the_only_sink_failing_ends_the_run(clip: Callable[..., Path]) -> None:
    sink = Kept(fail_at=5)
    with pytest.raises(OutputError, match="no room"):
        await run(file_source(clip()), frame_sinks=[sink])
    assert sink.closed == 1


async def test_one_sink_of_two_failing_is_told_and_left_out(clip: Callable[..., Path]) -> None:
    events: list[Event] = []
    good, bad = Kept(), Kept(fail_at=5)
    await run(file_source(clip()), packet_sinks=[bad, good], events=events)
    assert [event.code for event in events] == [Code.OUT_FAILED]
    assert sum(p.track == Track.OUTPUT for p in good.packets) == 100


async def test_a_file_without_pictures_is_the_users_error(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 50)
    with pytest.raises(InputError, match="cannot be opened"):
        await run(file_source(path), frame_sinks=[Kept()])


class Silent:
    """A live source that gives some pictures, then nothing until it is stopped."""

    live = True
    name = "silent"
    reconnects = 0
    down = False

    def __init__(self, path: Path, pictures: int) -> None:
        self._file = file_source(path)
        self._pictures = pictures

    def items(self, stop: threading.Event) -> Iterator[Item]:
        given = 0
        for item in self._file.items(stop):
            if isinstance(item, Frame):
                if given == self._pictures:
                    break
                given += 1
                stop.wait(0.04)
                yield replace(item, arrived=monotonic())
            else:
                yield item
        stop.wait()


async def test_the_last_picture_is_held_while_a_live_source_is_silent(
    clip: Callable[..., Path],
) -> None:
    kept = Kept()
    summary = await run(Silent(clip(), 10), packet_sinks=[kept], limits=Limits(seconds=2.5))
    assert (summary.frames_in, summary.frames_out) == (10, 10)
    assert summary.frames_held >= 20
    times = [float(p.pts * p.time_base) for p in kept.packets if p.track == Track.OUTPUT]
    assert len(times) == 10 + summary.frames_held
    assert all(a < b for a, b in itertools.pairwise(times))
    assert times[-1] == pytest.approx(2.5, abs=0.4), "it goes on at the pace of the clock"


class Slow(Resample):
    """Plain scaling that takes 80 ms on each of the engine's threads."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        threading.Event().wait(0.2)
        return super().forward(x)


class Failing(Resample):
    """A network that runs out of memory at its third frame."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("out of memory")
        return super().forward(x)


async def test_a_network_that_fails_leaves_a_plain_picture(clip: Callable[..., Path]) -> None:
    events: list[Event] = []
    kept = Kept()
    model = SlidingWindow(Failing(), Facts(4, 1, 0, Colour.LUMA))
    await run(file_source(clip()), frame_sinks=[kept], events=events, model=model)
    assert [read_number(frame.planes[0]) for frame in kept.frames] == list(range(100))
    assert [event.code for event in events] == [Code.SR_FAILED]
    assert "out of memory" in events[0].message


async def test_a_served_file_keeps_its_own_pace(clip: Callable[..., Path]) -> None:
    start = monotonic()
    with Engines(CPU) as engines:
        pipeline = Pipeline(
            "paced", file_source(clip()), [Step("plain", engines.of(PLAIN))], emit=print, paced=True
        )
        await pipeline.run()
    assert 3.5 < monotonic() - start < 8


async def test_a_slow_network_drops_the_oldest_and_counts_them() -> None:
    events: list[Event] = []
    model = SlidingWindow(Slow(), Facts(4, 1, 0, Colour.LUMA))
    summary = await run(
        DemoSource(Scene()),
        frame_sinks=[Kept()],
        limits=Limits(seconds=2.0),
        events=events,
        model=model,
    )
    assert summary.frames_dropped > 0
    assert summary.frames_in == summary.frames_out + summary.frames_dropped
    assert Code.OVERLOAD in {event.code for event in events}
    assert summary.latency_p99_ms is not None
    assert summary.latency_p99_ms < 800
