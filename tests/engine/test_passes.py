"""Several passes over one stream: forward, backward and mirrored, averaged, nothing lost."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import torch
from streams import (
    TAGS,
    Centre,
    Counting,
    centre_model,
    clip,
    counting_model,
    flat,
    of_cpu,
    small_fast,
    small_recurrent,
)

from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import ModelEngine, StreamRequest
from streamsr.engine.engines import Engines
from streamsr.engine.mixed.passes import GROUP, RUN_UP, PassesEngine
from streamsr.engine.mixed.passes import in_passes as in_passes_of
from streamsr.networks.flow import FINE, USUAL, Search
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.registry import Entry, find

CPU = torch.device("cpu")


def in_passes(model: SlidingWindow, frames: Sequence[Frame]) -> list[Frame]:
    with Engines(CPU) as engines:
        stream = PassesEngine(engines.of(model)).stream(
            StreamRequest("file", Meter(), lambda event: None)
        )
        done = [future for frame in frames for future in stream.push(frame)]
        done += stream.flush()
        return [future.result(timeout=60) for future in done]


def mirrored(frame: Frame) -> Frame:
    return replace(frame, planes=tuple(np.ascontiguousarray(p[:, ::-1]) for p in frame.planes))


def backward(frames: Sequence[Frame]) -> list[Frame]:
    return [replace(f, pts=n) for n, f in enumerate(reversed(frames))]


@pytest.mark.parametrize("rgb", [False, True])
def test_a_short_clip_is_the_mean_of_its_four_passes(rgb: bool) -> None:
    model, frames = small_recurrent(2), clip(7, (19, 33), TAGS[0], rgb=rgb)
    flipped = [mirrored(frame) for frame in frames]
    passes = [
        of_cpu(model, frames),
        [mirrored(f) for f in of_cpu(model, flipped)],
        of_cpu(model, backward(frames))[::-1],
        [mirrored(f) for f in of_cpu(model, backward(flipped))[::-1]],
    ]
    for source, *each, got in zip(frames, *passes, in_passes(model, frames), strict=True):
        mean = np.mean([one.planes[0] for one in each], 0)
        assert got.planes[0].tolist() == np.rint(mean).astype(np.uint8).tolist()
        assert got.pts == source.pts
        if not rgb:
            assert got.planes[1].tolist() == each[0].planes[1].tolist()


def test_motion_is_searched_for_finely_and_in_one_pass_as_usual() -> None:
    with Engines(CPU) as engines:

        def load(entry: Entry, search: Search = USUAL) -> ModelEngine:
            return engines.load(entry, search=search)

        one, several = load(find("fast", ())), in_passes_of(load)(find("fast", ()))
        networks = [engine.model.network for engine in (one, several)]
        assert [network.search for network in networks] == [USUAL, FINE]
        assert load(find("fast", ())) is one  # what runs live is not touched


def test_a_backward_pass_comes_from_beyond_its_group() -> None:
    frames = [flat(60, n) for n in range(GROUP + RUN_UP + 4)]
    got = [int(frame.planes[0][0, 0]) for frame in in_passes(counting_model(Counting()), frames)]
    rest = range(len(frames) - GROUP)
    after = [RUN_UP + GROUP - 1 - n for n in range(GROUP)] + [rest[-1] - n for n in rest]
    one = [int(f.planes[0][0, 0]) for f in of_cpu(counting_model(Counting()), frames)]
    assert got == [round((level + one[of]) / 2) for level, of in zip(one, after, strict=True)]


def test_no_pass_goes_across_a_cut() -> None:
    frames = [flat(60 if n < 5 else 120, n, discontinuous=n == 5) for n in range(9)]
    whole = in_passes(counting_model(Counting()), frames)
    parts = in_passes(counting_model(Counting()), frames[:5])
    parts += in_passes(counting_model(Counting()), frames[5:])
    assert [f.planes[0].tolist() for f in whole] == [f.planes[0].tolist() for f in parts]


@pytest.mark.parametrize("model", [small_fast, lambda: centre_model(Centre())])
def test_without_a_memory_there_are_two_passes(model: Callable[[], SlidingWindow]) -> None:
    frames = clip(6, (18, 32), TAGS[0])
    flipped = of_cpu(model(), [mirrored(frame) for frame in frames])
    for got, one, other in zip(
        in_passes(model(), frames), of_cpu(model(), frames), flipped, strict=True
    ):
        mean = np.rint((one.planes[0] * 1.0 + other.planes[0][:, ::-1]) / 2)
        assert got.planes[0].tolist() == mean.astype(np.uint8).tolist()


def test_frames_leave_one_by_one_and_none_waits_for_two_groups() -> None:
    stream_frames = [flat(60, n) for n in range(3 * GROUP)]
    with Engines(CPU) as engines:
        engine = PassesEngine(engines.of(counting_model(Counting())))
        stream = engine.stream(StreamRequest("file", Meter(), lambda event: None))
        left = 0
        for pushed, frame in enumerate(stream_frames, 1):
            given = stream.push(frame)
            left += len(given)
            assert len(given) <= 1
            assert pushed - left <= 2 * GROUP + RUN_UP
        assert left + len(stream.flush()) == len(stream_frames)


def test_a_closed_engine_leaves_nobody_waiting() -> None:
    with Engines(CPU) as engines:
        engine = PassesEngine(engines.of(counting_model(Counting())))
        stream = engine.stream(StreamRequest("file", Meter(), lambda event: None))
        waiting: list[Future[Frame]] = []
        for n in range(GROUP + RUN_UP):
            waiting += stream.push(flat(60, n))
        waiting += stream.flush()
    for future in waiting:
        assert future.done() or future.cancelled()
