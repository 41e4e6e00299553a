"""A run-up to each scene: its first frame is made as the others are, and nothing else changes."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch
from streams import TAGS, Counting, assert_same, clip, counting_model, flat, of_cpu, small_recurrent

from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream, StreamRequest
from streamsr.engine.engines import Engines
from streamsr.engine.mixed.passes import PassesEngine
from streamsr.engine.mixed.run_up import AHEAD, RunUpEngine
from streamsr.networks.sliding import SlidingWindow

CPU = torch.device("cpu")


def run_up_to(model: SlidingWindow, frames: Sequence[Frame]) -> list[Frame]:
    with Engines(CPU) as engines:
        stream = stream_through(RunUpEngine(engines.of(model)))
        done = [future for frame in frames for future in stream.push(frame)]
        done += stream.flush()
        return [future.result(timeout=60) for future in done]


def stream_through(engine: RunUpEngine | PassesEngine) -> EngineStream:
    return engine.stream(StreamRequest("file", Meter(), lambda event: None))


def level(frame: Frame) -> int:
    return int(frame.planes[0][0, 0])


def test_a_scene_begins_as_if_it_had_come_from_its_next_frames() -> None:
    frames = clip(9, (19, 33), TAGS[0])
    around = [*frames[AHEAD:0:-1], *frames]
    expected = of_cpu(small_recurrent(2), [replace(f, pts=n) for n, f in enumerate(around)])
    got = run_up_to(small_recurrent(2), frames)
    for one, other, source in zip(got, expected[AHEAD:], frames, strict=True):
        assert [plane.tolist() for plane in one.planes] == [p.tolist() for p in other.planes]
        assert (one.pts, one.time_base) == (source.pts, source.time_base)


@pytest.mark.parametrize("scene", [1, 2, AHEAD, AHEAD + 1, AHEAD + 2, 12])
def test_each_scene_has_one_of_its_own_frames_alone(scene: int) -> None:
    """A chain counts the frames before each: those of the run-up, then the scene's own."""
    first = [flat(60, n) for n in range(7)]
    second = [flat(120, 7 + n, discontinuous=n == 0) for n in range(scene)]
    got = run_up_to(counting_model(Counting()), [*first, *second])
    ahead = min(AHEAD, scene - 1)
    assert [level(frame) - 60 for frame in got[:7]] == [AHEAD + n for n in range(7)]
    assert [level(frame) - 120 for frame in got[7:]] == [ahead + n for n in range(scene)]


def test_a_frame_says_of_itself_what_it_did() -> None:
    frames = [flat(60, n, discontinuous=n in (0, 6)) for n in range(13)]
    frames[6] = replace(frames[6], after_gap=True)
    got = run_up_to(counting_model(Counting()), frames)
    assert [f.discontinuous for f in got] == [f.discontinuous for f in frames]
    assert [f.after_gap for f in got] == [f.after_gap for f in frames]


def test_no_frame_waits_for_more_than_its_run_up() -> None:
    with Engines(CPU) as engines:
        stream = stream_through(RunUpEngine(engines.of(counting_model(Counting()))))
        left = [len(stream.push(flat(60, n))) for n in range(9)]
        assert left == [0] * AHEAD + [AHEAD + 1] + [1] * 4
        assert stream.flush() == []


@pytest.mark.parametrize("after", [1, 3, AHEAD, AHEAD + 1, 9, 14, 16])
@pytest.mark.parametrize("passes", [False, True])
def test_another_stream_goes_on_with_the_memory_of_one(after: int, passes: bool) -> None:
    cut = 12
    frames = clip(20, (8, 12), TAGS[0])
    frames[cut] = replace(frames[cut], discontinuous=True)
    with Engines(CPU) as engines:
        once = RunUpEngine(engines.of(small_recurrent(2)))
        engine = PassesEngine(once) if passes else once
        whole, expected = stream_through(engine), list[Future[Frame]]()
        for frame in frames[:after]:
            expected += whole.push(frame)
        memory, again = whole.memory(), whole.since_memory
        for frame in frames[after:]:
            expected += whole.push(frame)
        expected += whole.flush()
        first = max(0, after - again - 2) if memory else 0
        going_on, got = stream_through(engine), list[Future[Frame]]()
        for number in range(first, len(frames)):
            if number == after - again and memory:
                got += going_on.restore([one.result() for one in memory])
            got += going_on.push(frames[number])
        got += going_on.flush()
        assert len(got) == len(frames) - first
        assert_same(
            [future.result(timeout=60) for future in got[after - first :]],
            [future.result(timeout=60) for future in expected[after:]],
        )
