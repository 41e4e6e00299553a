"""The data path: exact accounting, limits, sinks that fail, sources that stop."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any

import av
import pytest
import torch
from peers import read_number
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.errors import InputError, ModelError, OutputError
from streamsr.core.events import Code, Event
from streamsr.core.frame import Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import InputSettings, LimitSettings, StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.core.target_size import TargetSize
from streamsr.engine.engines import Engines
from streamsr.media.source import AudioFrame, Item, MediaSource, Piece, SourceInfo
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.model_choice import Choose, Chosen
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.pipeline import Pipeline
from streamsr.sources.demo import DemoSource, Scene
from streamsr.sources.files import FileSource

CPU = torch.device("cpu")
PLAIN = SlidingWindow(Resample(), Facts(4, 1, 0, Colour.LUMA))


class Kept:
    """A sink of either kind that keeps what it is given."""

    tracks = frozenset({Track.OUTPUT, Track.INPUT})
    keeps_all = False
    not_kept = ()

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

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        assert self.packets or packet.keyframe
        if len(self.packets) == self._fail_at:
            raise OutputError("output kept: no room")
        self.packets.append(packet)

    def audio(self, audio: AudioFrame) -> None:
        self.audios.append(audio)

    def other(self, piece: Piece) -> None:
        raise AssertionError(piece)

    def close(self) -> None:
        self.closed += 1


@contextmanager
def opened(
    source: MediaSource,
    *,
    model: SlidingWindow | None = None,
    events: list[Event] | None = None,
    limits: LimitSettings | None = None,
    choose: Choose | None = None,
    **more: Any,
) -> Iterator[Pipeline]:
    with Engines(CPU) as engines:
        plain = Chosen([LoadedModel("plain", engines.of(model or PLAIN))], why="of a test")
        emit = (events if events is not None else []).append
        settings = StreamSettings(
            name="test", input=InputSettings(url="clip"), limits=limits or LimitSettings()
        )
        yield Pipeline(
            settings,
            source,
            choose or (lambda info, kept: plain),
            workers=engines.workers,
            device="cpu",
            emit=emit,
            **more,
        )


async def run(source: MediaSource, **more: Any) -> StreamStatus:
    with opened(source, **more) as pipeline:
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
    assert kept.audios, "audio follows its frames"


async def test_limits_stop_at_the_frame(clip: Callable[..., Path]) -> None:
    by_frames, by_seconds = Kept(), Kept()
    await run(file_source(clip()), frame_sinks=[by_frames], limits=LimitSettings(frames=7))
    await run(file_source(clip()), frame_sinks=[by_seconds], limits=LimitSettings(seconds=1.0))
    assert (len(by_frames.frames), len(by_seconds.frames)) == (7, 25)


@pytest.mark.serial
async def test_seconds_of_a_live_source_count_from_its_first_frame() -> None:
    class Late(DemoSource):
        def items(self, stop: threading.Event) -> Iterator[Item]:
            stop.wait(0.6)
            yield from super().items(stop)

    source = Late(Scene())
    summary = await run(source, frame_sinks=[Kept()], limits=LimitSettings(seconds=1.0))
    assert 15 <= summary.frames_in <= 27, "0.4 s of them if they counted from the start"
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


async def test_a_file_without_frames_is_the_users_error(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 50)
    with pytest.raises(InputError, match="cannot be opened"):
        await run(file_source(path), frame_sinks=[Kept()])


class Silent:
    """A live source that gives some frames, then nothing until it is stopped."""

    live = True
    name = "silent"
    reconnects = jumps = moved = 0
    down = False

    def __init__(self, path: Path, frames: int) -> None:
        self._file = file_source(path)
        self._frames = frames

    def items(self, stop: threading.Event) -> Iterator[Item]:
        given = 0
        for item in self._file.items(stop):
            if isinstance(item, Frame):
                if given == self._frames:
                    break
                given += 1
                stop.wait(0.04)
                yield replace(item, arrived=monotonic())
            else:
                yield item
        self.wait(stop)

    def wait(self, stop: threading.Event) -> None:
        stop.wait()


@pytest.mark.serial
async def test_the_last_frame_is_held_while_a_live_source_is_silent(
    clip: Callable[..., Path],
) -> None:
    kept, seconds = Kept(), 1.8
    limits = LimitSettings(seconds=seconds)
    summary = await run(Silent(clip(), 10), packet_sinks=[kept], limits=limits)
    assert (summary.frames_in, summary.frames_out) == (10, 10)
    assert summary.frames_held >= 10
    times = [float(p.pts * p.time_base) for p in kept.packets if p.track == Track.OUTPUT]
    assert len(times) == 10 + summary.frames_held
    assert all(a < b for a, b in itertools.pairwise(times))
    assert times[-1] == pytest.approx(seconds, abs=0.4), "it goes on at the pace of the clock"


class Stuck(Silent):
    """A live source that does not notice that it is to stop."""

    def __init__(self, path: Path, frames: int) -> None:
        super().__init__(path, frames)
        self.released = threading.Event()

    def wait(self, stop: threading.Event) -> None:
        self.released.wait(60)


async def test_a_source_that_does_not_stop_is_left_behind_in_time(
    clip: Callable[..., Path],
) -> None:
    source, kept = Stuck(clip(), 3), Kept()
    with opened(source, packet_sinks=[kept]) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(lambda: len(kept.packets) == 6)
        pipeline.stop(Deadline.after(2.0))
        took_s = await until(running.done)
        summary = await running
    source.released.set()
    assert 0.1 < took_s < 1.5, "a tenth of the deadline is a live source's"
    assert (summary.frames_in, summary.frames_out, kept.closed) == (3, 3, 1)


async def test_no_frame_is_held_while_a_source_is_closed(clip: Callable[..., Path]) -> None:
    source, kept = Stuck(clip(), 10), Kept()
    with opened(source, packet_sinks=[kept]) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(lambda: pipeline.status().frames_held > 0)
        held = pipeline.status().frames_held
        pipeline.stop(Deadline.after(2.0))
        summary = await running
    source.released.set()
    assert summary.frames_held <= held + 1, "one may have been due"


class Slow(Resample):
    """Plain scaling that takes 200 ms on each of the engine's threads."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        threading.Event().wait(0.2)
        return super().forward(x)


SLOW = SlidingWindow(Slow(), Facts(4, 1, 0, Colour.LUMA))


@pytest.mark.parametrize(("seconds", "whole"), [(30.0, True), (0.0, False)])
async def test_what_was_read_is_delivered_until_the_deadline(
    clip: Callable[..., Path], seconds: float, whole: bool
) -> None:
    kept = Kept()
    with opened(file_source(clip()), model=SLOW, frame_sinks=[kept]) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(lambda: kept.frames and pipeline.status().frames_in > len(kept.frames) + 4)
        pipeline.stop(Deadline.after(seconds))
        summary = await running
    assert summary.frames_out == len(kept.frames)
    assert summary.frames_in == summary.frames_out + summary.frames_dropped
    assert (summary.frames_dropped == 0) == whole


async def test_the_newest_frame_is_there_for_a_snapshot(clip: Callable[..., Path]) -> None:
    kept = Kept()
    with opened(file_source(clip()), frame_sinks=[kept]) as pipeline:
        assert pipeline.newest() is None
        await pipeline.run()
        assert pipeline.newest() is kept.frames[-1]


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


async def test_a_network_that_fails_leaves_a_plain_frame(clip: Callable[..., Path]) -> None:
    events: list[Event] = []
    kept = Kept()
    model = SlidingWindow(Failing(), Facts(4, 1, 0, Colour.LUMA))
    await run(file_source(clip()), frame_sinks=[kept], events=events, model=model)
    assert [read_number(frame.planes[0]) for frame in kept.frames] == list(range(100))
    assert [event.code for event in events] == [Code.SR_FAILED]
    assert "out of memory" in events[0].message


async def test_a_served_file_keeps_its_own_pace(clip: Callable[..., Path]) -> None:
    start = monotonic()
    await run(file_source(clip()), paced=True, limits=LimitSettings(seconds=1.0))
    assert 0.9 < monotonic() - start < 3, "1 s of it, which is upscaled in a tenth of that"


@pytest.mark.serial
async def test_a_slow_network_drops_the_oldest_and_counts_them() -> None:
    events: list[Event] = []
    summary = await run(
        DemoSource(Scene()),
        frame_sinks=[Kept()],
        limits=LimitSettings(seconds=2.0),
        events=events,
        model=SLOW,
    )
    assert summary.frames_dropped > 0
    assert summary.frames_in == summary.frames_out + summary.frames_dropped
    assert Code.OVERLOAD in {event.code for event in events}
    assert summary.latency_p99_ms is not None
    assert summary.latency_p99_ms < 800, "the budget of 500 ms, and a busy machine"


class Choosing:
    """Chooses as ``then`` does, once it ``may_end``; notes for which sizes."""

    def __init__(self, then: Choose) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.sizes: list[str] = []
        self._then = then

    def __call__(self, info: SourceInfo, kept: TargetSize | None) -> Chosen:
        self.sizes.append(info.size)
        self.begun.set()
        assert self.may_end.wait(60)
        return self._then(info, kept)


@pytest.fixture
def choosing() -> Iterator[Choosing]:
    with Engines(CPU) as engines:
        plain = Chosen([LoadedModel("plain", engines.of(PLAIN))], TargetSize(scale=Fraction(2)))
        made = Choosing(lambda info, kept: plain)
        yield made
        made.may_end.set()


@pytest.mark.serial
async def test_a_live_source_begins_once_its_models_are_chosen(choosing: Choosing) -> None:
    """Its seconds too; what it shows and plays before is not begun with, and no frame of it is
    dropped."""
    kept = Kept()
    limits = LimitSettings(seconds=0.6)
    with opened(
        DemoSource(Scene()), choose=choosing, packet_sinks=[kept], limits=limits
    ) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(choosing.begun.is_set)
        await asyncio.sleep(1.0)
        assert pipeline.status().frames_in == 0
        assert not running.done()
        choosing.may_end.set()
        summary = await running
    assert 10 <= summary.frames_in <= 17
    assert (summary.frames_out, summary.frames_dropped) == (summary.frames_in, 0)
    assert summary.output == "640x360"
    first_s = min(float(packet.pts * packet.time_base) for packet in kept.packets)
    assert first_s == 0
    assert -0.2 < kept.audios[0].time_s < 0.2


@pytest.mark.serial
async def test_a_file_waits_for_its_models(clip: Callable[..., Path], choosing: Choosing) -> None:
    """Or a paced one would hurry through what it should have shown meanwhile."""
    limits = LimitSettings(seconds=1.0)
    source = file_source(clip())
    with opened(source, choose=choosing, paced=True, limits=limits) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(choosing.begun.is_set)
        await asyncio.sleep(0.8)
        assert pipeline.status().frames_in == 0
        began = monotonic()
        choosing.may_end.set()
        summary = await running
    assert 0.9 < monotonic() - began < 3
    assert summary.frames_out == 25
    assert summary.latency_p99_ms is not None
    assert summary.latency_p99_ms < 800, "a choice is no part of it"


@pytest.mark.parametrize("kind", ["live", "paced", "file"])
async def test_a_stop_does_not_wait_for_a_choice(
    clip: Callable[..., Path], choosing: Choosing, kind: str
) -> None:
    source: MediaSource = DemoSource(Scene()) if kind == "live" else file_source(clip())
    kept = Kept()
    with opened(source, choose=choosing, packet_sinks=[kept], paced=kind == "paced") as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(choosing.begun.is_set)
        pipeline.stop(Deadline.after(10.0))
        took_s = await until(running.done)
        summary = await running
    assert took_s < 4, "there is nothing that it could deliver"
    assert (summary.frames_in, kept.closed) == (0, 1)


async def test_a_stop_does_not_wait_for_another_choice(
    clip: Callable[..., Path], choosing: Choosing
) -> None:
    """Where frames of the first one have come, they are given their time."""
    kept = Kept()
    choosing.may_end.set()
    with opened(Resized(clip(), 99), choose=choosing, packet_sinks=[kept]) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(lambda: pipeline.status().frames_out > 4)
        choosing.may_end.clear()
        await until(lambda: len(choosing.sizes) == 2)
        pipeline.stop(Deadline.after(1.5))
        took_s = await until(running.done)
        summary = await running
    assert took_s < 3
    assert summary.frames_out >= 5
    assert summary.frames_in == summary.frames_out + summary.frames_dropped


@pytest.mark.parametrize("live", [True, False])
async def test_what_a_choice_raises_ends_the_run(clip: Callable[..., Path], live: bool) -> None:
    def choose(info: SourceInfo, kept: TargetSize | None) -> Chosen:
        raise ModelError(f"nothing suits {info.size}")

    sink = Kept()
    source: MediaSource = DemoSource(Scene()) if live else file_source(clip())
    with pytest.raises(ModelError, match="nothing suits 320x180"):
        await run(source, choose=choose, packet_sinks=[sink])
    assert sink.closed == 1


class Unopened(Stuck):
    """A source that never opens, and does not notice that it is to stop."""

    def __init__(self, live: bool) -> None:
        self.live = live
        self.released = threading.Event()

    def items(self, stop: threading.Event) -> Iterator[Item]:
        self.wait(stop)
        yield from ()


@pytest.mark.parametrize("live", [True, False])
async def test_a_source_that_does_not_open_is_left_behind(live: bool) -> None:
    source, kept = Unopened(live), Kept()
    with opened(source, packet_sinks=[kept]) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await asyncio.sleep(0.1)
        pipeline.stop(Deadline.after(2.0))
        took_s = await until(running.done)
        summary = await running
    source.released.set()
    assert took_s < 1.9
    assert (summary.frames_in, kept.closed) == (0, 1)


class Resized(Silent):
    """A live source whose frames become smaller after ten of them."""

    def items(self, stop: threading.Event) -> Iterator[Item]:
        info: SourceInfo | None = None
        given = 0
        for item in super().items(stop):
            if isinstance(item, SourceInfo):
                info = item
            elif isinstance(item, Frame):
                given += 1
                smaller = item.cropped(120)
                if given == 11 and info is not None:
                    yield replace(info, width=smaller.width, height=smaller.height)
                if given > 10:
                    yield smaller
                    continue
            yield item


async def test_models_are_chosen_again_for_frames_of_another_size(
    clip: Callable[..., Path], choosing: Choosing
) -> None:
    kept = Kept()
    choosing.may_end.set()
    with opened(Resized(clip(), 20), choose=choosing, frame_sinks=[kept]) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(lambda: len(kept.frames) == 20)
        pipeline.stop()
        summary = await running
    assert choosing.sizes == ["320x180", "240x120"]
    assert {(f.width, f.height) for f in kept.frames[:10]} == {(640, 360)}
    assert {(f.width, f.height) for f in kept.frames[10:]} == {(480, 240)}
    assert (summary.input, summary.output) == ("240x120", "480x240")
