"""Streams for an engine's tests: models, clips, and what comes of them."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from streamsr.core.events import Event
from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.core.metrics import Meter
from streamsr.engine.base import StreamRequest
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.engines import Engines
from streamsr.engine.resample import resize_frame
from streamsr.networks.contract import Memory, RecurrentNetwork
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.fast import Fast
from streamsr.networks.flow import Flow
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.loading import in_channels_last

__all__ = [
    "MODELS",
    "TAGS",
    "Bench",
    "Centre",
    "Clock",
    "Counting",
    "assert_same",
    "centre_model",
    "clip",
    "counting_model",
    "enlarged",
    "flat",
    "of_cpu",
    "small_edvr",
    "small_fast",
    "small_recurrent",
]

TAGS = [ColourTags(6, 6, 6), ColourTags(1, 1, 1, False, 2), ColourTags(1, 1, 1, True)]


def small_edvr() -> SlidingWindow:
    torch.manual_seed(2)
    network = EDVR(
        num_feat=8, num_frame=5, deformable_groups=2, num_extract_block=1, num_reconstruct_block=1
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    network.requires_grad_(False).eval()
    return SlidingWindow(in_channels_last(network), Facts(4, 5, 2, Colour.RGB, 4))


def small_fast() -> SlidingWindow:
    torch.manual_seed(1)
    network = Fast(features=8, layers=3, scale=4).requires_grad_(False).eval()
    return SlidingWindow(in_channels_last(network), Facts(4, 1, 0, Colour.LUMA))


def small_recurrent(scale: int = 4, fold: int = 1, multiple: int = 1) -> SlidingWindow:
    torch.manual_seed(3)
    network = Recurrent(features=8, layers=3, kept=4, scale=scale, fold=fold)
    network.requires_grad_(False).eval()
    network.body[-1].weight.mul_(10)  # so that what it remembers shows
    return SlidingWindow(in_channels_last(network), Facts(scale, 2, 0, Colour.LUMA, multiple))


def bicubic(colour: Colour, scale: int = 2) -> SlidingWindow:
    return SlidingWindow(Resample(scale=scale), Facts(scale, 1, 0, colour))


MODELS: dict[str, Callable[[], SlidingWindow]] = {
    "edvr": small_edvr,
    "fast": small_fast,
    "recurrent": small_recurrent,
    "recurrent-folded": lambda: small_recurrent(2, 2, 4),
    "bicubic-luma": lambda: bicubic(Colour.LUMA),
    "bicubic-rgb": lambda: bicubic(Colour.RGB, 3),
}


class Centre(nn.Module):
    """Gives the centre of each window, every pixel doubled, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[tuple[int, ...]] = []  # of each window's frames, which are flat
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        self.levels += [tuple(w) for w in (x[:, :, 0, 0, 0] * 255).round().int().tolist()]
        centre = x[:, x.shape[1] // 2]
        return centre.repeat_interleave(2, 2).repeat_interleave(2, 3)


def centre_model(network: nn.Module, window: int = 3) -> SlidingWindow:
    return SlidingWindow(network, Facts(2, window, window // 2, Colour.LUMA))


class Counting(RecurrentNetwork[Tensor]):
    """Gives the newest frame, doubled, and a level brighter for each frame before it in its chain.

    Where it remembers another frame than the one before in the window, the image is brighter by
    their difference, and by as much as the motion is another window's. Levels of 200 and above are
    not finite to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.tensor(1 / 255))
        self.batches: list[int] = []
        self.chains = 0  # memories that it was asked for

    def fresh(self, batch: int, height: int, width: int) -> Memory:
        self.chains += 1
        size, device = (2 * height, 2 * width), self.level.device
        return torch.zeros(batch, device=device), torch.zeros(batch, *size, device=device)

    def motion_of_planes(self, frame: Plane, before: Plane) -> Flow:
        """By how many levels each pixel became brighter, twice."""
        brighter = frame.astype(np.float32) - before
        return np.stack((brighter, brighter), 2)

    def align(self, window: Tensor, motion: Tensor) -> Tensor:
        before, frame = window[:, :, 0].float().unbind(1)
        wrong = (motion * self.level - (frame - before)[:, None]).abs().amax(1)
        known = torch.stack((before, frame, wrong), 1)
        return known.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def advance(self, aligned: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        self.batches.append(len(aligned))
        (before, frame, wrong), (count, last) = aligned.unbind(1), memory
        frame = frame.masked_fill(frame >= 200 * self.level, float("nan"))
        many = count[:, None, None]
        image = frame + many * self.level + (last - before).abs() * (many > 0) + wrong
        return image[:, None], (count + 1, frame)


def counting_model(network: nn.Module) -> SlidingWindow:
    return SlidingWindow(network, Facts(2, 2, 0, Colour.LUMA))


class Clock:
    """Monotonic seconds that only a test moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """A stream of an engine, and what came of it."""

    def __init__(self, engine: CudaEngine, name: str = "cam") -> None:
        self.meter = Meter()
        self.events: list[Event] = []
        self.stream = engine.stream(StreamRequest(name, self.meter, self.events.append))

    def run(self, frames: Sequence[Frame]) -> list[Frame]:
        done: list[Future[Frame]] = []
        for frame in frames:
            done += self.stream.push(frame)
        done += self.stream.flush()
        return [future.result(timeout=60) for future in done]


def flat(
    level: int, pts: int, *, size: tuple[int, int] = (18, 32), discontinuous: bool = False
) -> Frame:
    chroma = np.full((-(-size[0] // 2), -(-size[1] // 2)), 128, np.uint8)
    planes = (np.full(size, level, np.uint8), chroma, chroma)
    return Frame(planes, ColourTags(1, 1, 1), pts, Fraction(1, 25), 0.0, discontinuous)


def clip(
    frames: int, size: tuple[int, int], tags: ColourTags, *, seed: int = 0, rgb: bool = False
) -> list[Frame]:
    """A texture that drifts: no scene cuts."""
    random = np.random.default_rng(seed)
    height, width = size
    made = []
    shapes = [(height, width, 3)] if rgb else [size, *[(-(-height // 2), -(-width // 2))] * 2]
    textures = [random.integers(0, 256, shape, np.uint8) for shape in shapes]
    for number in range(frames):
        planes = tuple(np.roll(texture, number, 1) for texture in textures)
        made.append(Frame(planes, tags, number, Fraction(1, 25)))
    return made


def enlarged(frame: Frame, scale: int) -> Frame:
    """The frame by bicubic."""
    return resize_frame(frame, scale * frame.width, scale * frame.height)


def of_cpu(model: SlidingWindow, frames: Sequence[Frame]) -> list[Frame]:
    """What the CPU engine makes of a stream."""
    with Engines(torch.device("cpu")) as engines:
        stream = engines.of(model).stream(StreamRequest("cam", Meter(), lambda event: None))
        done = [future for frame in frames for future in stream.push(frame)]
        done += stream.flush()
        return [future.result(timeout=60) for future in done]


def assert_same(made: Sequence[Frame], expected: Sequence[Frame], tolerance: int = 0) -> None:
    assert [frame.pts for frame in made] == [frame.pts for frame in expected]
    for one, other in zip(made, expected, strict=True):
        assert one.colour == other.colour
        for plane, wanted in zip(one.planes, other.planes, strict=True):
            assert plane.shape == wanted.shape
            assert np.abs(plane.astype(int) - wanted.astype(int)).max() <= tolerance
