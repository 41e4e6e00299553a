"""Models and clips of the checks, and a clip's way through an engine."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from fractions import Fraction
from itertools import islice

import numpy as np
import torch
from torch import nn

from benchmarks.cuda_suite.places import Place
from streamsr.core.events import Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import StreamRequest
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.engines import Engines
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.loading import in_channels_last, load_model
from streamsr.zoo.registry import find

__all__ = ["SLOTS", "TAGS", "MakeModel", "clip", "edvr", "of_cpu", "through", "with_weights"]

SLOTS = 6  # as engine/engines.py has them
TAGS = {
    "601": ColourTags(6, 6, 6),
    "709 centre": ColourTags(1, 1, 1, False, 2),
    "709 full": ColourTags(1, 1, 1, True),
}

MakeModel = Callable[[torch.device], SlidingWindow]


def with_weights(name: str) -> MakeModel:
    """A model of ``models/``, in float32."""
    return lambda device: load_model(find(name), device, "float32")


def edvr(place: Place) -> MakeModel:
    """An EDVR of the place's options, EDVR-M where there are none, with weights drawn by chance:
    they align by pixels, and change their input by levels."""

    def make(device: torch.device) -> SlidingWindow:
        torch.manual_seed(2)
        network = EDVR(**place.sizes.edvr)
        for name, parameter in network.named_parameters():
            if "conv_offset" in name:
                nn.init.normal_(parameter, std=0.02)
        network.requires_grad_(False).eval()
        return SlidingWindow(in_channels_last(network.to(device)), Facts(4, 5, 2, Colour.RGB, 4))

    return make


def in_half(model: SlidingWindow) -> SlidingWindow:
    return SlidingWindow(model.network.half(), model.facts, "float16")


def clip(size: tuple[int, int], tags: ColourTags, *, seed: int = 0) -> Iterator[Frame]:
    """A texture that drifts, indefinitely."""
    random = np.random.default_rng(seed)
    shapes = [size, *[(-(-size[0] // 2), -(-size[1] // 2))] * 2]
    cells = [random.integers(16, 236, (-(-h // 4), -(-w // 4)), np.uint8) for h, w in shapes]
    planes = [np.kron(c, np.ones((4, 4), np.uint8)) for c in cells]
    textures = [p[:h, :w] for p, (h, w) in zip(planes, shapes, strict=True)]
    number = 0
    while True:
        drifted = tuple(np.roll(texture, number % 16, 1) for texture in textures)
        yield Frame(drifted, tags, number, Fraction(1, 25))
        number += 1


def through(
    engine: CudaEngine, frames: Sequence[Frame], events: list[Event] | None = None
) -> list[Frame]:
    """What the engine makes of a stream, of which ``SLOTS`` frames are in flight."""
    emit = (events if events is not None else []).append
    stream = engine.stream(StreamRequest("bench", Meter(), emit))
    in_flight: deque[Future[Frame]] = deque()
    made = []
    for frame in frames:
        in_flight += stream.push(frame)
        while len(in_flight) > SLOTS:
            made.append(in_flight.popleft().result())
    return made + [future.result() for future in (*in_flight, *stream.flush())]


def of_cpu(model: SlidingWindow, frames: Sequence[Frame]) -> list[Frame]:
    """What the CPU's engine makes of a stream."""
    with Engines(torch.device("cpu")) as engines:
        stream = engines.of(model).stream(StreamRequest("cpu", Meter(), lambda event: None))
        done = [future for frame in frames for future in stream.push(frame)]
        done += stream.flush()
        return [future.result() for future in done]


def first(frames: Iterator[Frame], count: int) -> list[Frame]:
    return list(islice(frames, count))


def apart(made: Sequence[Frame], wanted: Sequence[Frame]) -> int:
    """By how many levels two clips differ at most. Raises ValueError where their frames do."""
    if [frame.pts for frame in made] != [frame.pts for frame in wanted]:
        raise ValueError(f"frames: got {len(made)}, allowed are the {len(wanted)} that went in")
    return max(
        int(np.abs(plane.astype(int) - other.astype(int)).max())
        for one, two in zip(made, wanted, strict=True)
        for plane, other in zip(one.planes, two.planes, strict=True)
    )
