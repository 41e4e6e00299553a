"""Streams whose results have the size that was asked for, through each engine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction

import numpy as np
import pytest
import torch
from streams import MODELS, TAGS, assert_same, clip, of_cpu, small_fast
from torch import Tensor, nn

from streamsr.core.errors import ConfigError
from streamsr.core.events import Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import ModelEngine, StreamRequest
from streamsr.engine.cuda.device import CudaDevice
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.host_device import HostDevice
from streamsr.engine.engines import Engines
from streamsr.engine.resample import resize_frame
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow

Open = Callable[[SlidingWindow], ModelEngine]


@pytest.fixture(params=["cpu", "host", pytest.param("cuda", marks=pytest.mark.cuda)])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """``opened(model)``: an engine of the CPU, or CUDA's on a device of CPU tensors or on a GPU."""
    gpu = request.getfixturevalue("cuda") if request.param == "cuda" else None
    with ExitStack() as stack:

        def make(model: SlidingWindow) -> ModelEngine:
            if gpu is not None:
                model.network.to(gpu)
                return stack.enter_context(CudaEngine(model, CudaDevice(gpu)))
            if request.param == "host":
                return stack.enter_context(CudaEngine(model, HostDevice(), max_batch=1))
            return stack.enter_context(Engines(torch.device("cpu"))).of(model)

        yield make


def run(
    engine: ModelEngine, frames: list[Frame], size: str | None, scale: float | None
) -> list[Frame]:
    events: list[Event] = []
    target = TargetSize.parse(size, scale)
    stream = engine.stream(StreamRequest("cam", Meter(), events.append, target=target))
    done = [future for frame in frames for future in stream.push(frame)]
    return [future.result(timeout=60) for future in [*done, *stream.flush()]]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rgb", [False, True], ids=["yuv", "rgb"])
@pytest.mark.parametrize(
    ("size", "scale", "result"),
    [
        (None, 1.5, (33, 48)),
        ("80", None, (80, 116)),
        ("100x40", None, (40, 58)),
        (None, 1, (22, 32)),
    ],
)
def test_frames_come_out_in_the_size_that_is_asked_for(
    opened: Open,
    name: str,
    rgb: bool,
    size: str | None,
    scale: float | None,
    result: tuple[int, int],
) -> None:
    frames = clip(3, (22, 32), TAGS[0], rgb=rgb)
    made = run(opened(MODELS[name]()), frames, size, scale)
    assert [frame.pts for frame in made] == [0, 1, 2]
    assert [(frame.height, frame.width) for frame in made] == [result] * 3


@pytest.mark.parametrize("name", ["fast", "recurrent"])
@pytest.mark.parametrize("rgb", [False, True], ids=["yuv", "rgb"])
def test_a_networks_frames_are_its_own_resized(opened: Open, name: str, rgb: bool) -> None:
    frames = clip(3, (22, 32), TAGS[1], rgb=rgb)
    smaller = run(opened(MODELS[name]()), frames, "50", None)
    whole = of_cpu(MODELS[name](), frames)
    expected = [resize_frame(frame, 73, 50) for frame in whole]
    for one, other in zip(smaller, expected, strict=True):
        for plane, wanted in zip(one.planes, other.planes, strict=True):
            error = plane.astype(float) - wanted  # chroma is made of what came
            assert np.sqrt(np.square(error).mean()) < 2.5, "rounded once instead of twice"


@pytest.mark.parametrize("target", ["45", "23", "28x17", "80"])
def test_a_filter_resizes_in_one_step(opened: Open, target: str) -> None:
    frames = clip(2, (20, 32), TAGS[2])
    made = run(opened(MODELS["bicubic-luma"]()), frames, target, None)
    size = made[0].width, made[0].height
    assert_same(made, [resize_frame(frame, *size) for frame in frames], tolerance=1)


def test_a_change_of_size_in_mid_stream_changes_the_result(opened: Open) -> None:
    frames = [*clip(3, (18, 32), TAGS[0]), *clip(3, (24, 32), TAGS[0], seed=1)]
    frames = [Frame(f.planes, f.colour, n, Fraction(1, 25)) for n, f in enumerate(frames)]
    for name in ("recurrent", "bicubic-luma"):
        made = run(opened(MODELS[name]()), frames, "64x48", None)
        sizes = [(frame.width, frame.height) for frame in made]
        assert sizes == [(64, 36)] * 3 + [(64, 48)] * 3


def test_frames_that_the_network_fails_at_have_the_size(opened: Open) -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    frames = clip(2, (18, 32), TAGS[0])
    made = run(opened(SlidingWindow(Failing(), Facts(4, 1, 0, Colour.LUMA))), frames, None, 1.5)
    assert_same(made, [resize_frame(frame, 48, 27) for frame in frames])


def test_a_frame_that_no_size_is_allowed_for_is_refused_as_it_comes(opened: Open) -> None:
    for model in (small_fast(), MODELS["bicubic-luma"]()):
        with pytest.raises(ConfigError, match="got 6x2 from 24x8, allowed are sides from 16"):
            run(opened(model), clip(1, (8, 24), TAGS[0]), None, 0.25)
