"""Frames of more than 8 bits through every kind of engine on a CPU: nothing is rounded to 8."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamsr.core.events import Event
from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.core.metrics import Meter
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import StreamRequest
from streamsr.engine.colour import network_input, network_output
from streamsr.engine.engines import Engines
from streamsr.networks.facts import Colour
from streamsr.networks.int8 import runs_int8
from streamsr.zoo.loading import Precision
from streamsr.zoo.registry import find

HEIGHT, WIDTH = 72, 128
LIMITED, FULL = ColourTags(1, 1, 1), ColourTags(1, 1, 1, full_range=True)
INT8 = pytest.mark.skipif(not runs_int8(), reason="this CPU has no AVX2")


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    with Engines(torch.device("cpu")) as made:
        yield made


def ramp(scale: Fraction = Fraction(1)) -> NDArray[np.float64]:
    """A gradient of a quarter and an eighth of an 8-bit level a pixel, in such levels."""
    down, across = (
        (np.arange(int(side * scale)) + 0.5) / float(scale) - 0.5 for side in (HEIGHT, WIDTH)
    )
    return 70 + across[None] / 4 + down[:, None] / 8


def frame(number: int = 0, depth: int = 10, tags: ColourTags = LIMITED) -> Frame:
    """The gradient, its chroma grey."""
    kind = np.uint8 if depth == 8 else np.uint16
    step = ((1 << depth) - 1) / 255 if tags.full_range else 1 << depth - 8
    luma = np.rint(ramp() * step).astype(kind)
    grey = np.full((HEIGHT // 2, WIDTH // 2), 1 << depth - 1, kind)
    return Frame((luma, grey, grey), tags, number, Fraction(1, 25), depth=depth)


def upscaled(
    engines: Engines, model: str, precision: Precision, depth: int, target: TargetSize | None = None
) -> list[Frame]:
    def fail(event: Event) -> None:
        raise AssertionError(event)

    engine = engines.load(find(model, ()), precision)
    stream = engine.stream(StreamRequest("cam", Meter(), fail, target=target))
    futures = [future for n in range(4) for future in stream.push(frame(n, depth))]
    return [future.result(30) for future in [*futures, *stream.flush()]]


def error_of(made: Frame) -> NDArray[np.float64]:
    """How far its luma is from the gradient, in 8-bit levels, away from its borders."""
    scale = Fraction(made.width, WIDTH)
    margin = round(8 * scale)
    error = made.levels_of(0) - ramp(scale)
    return error[margin:-margin, margin:-margin]


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        ("bicubic-x4", "float32"),
        ("fast", "float32"),
        ("fast-small", "float32"),
        pytest.param("fast", "int8", marks=INT8),
        pytest.param("fast-small", "int8", marks=INT8),
    ],
)
def test_a_gradient_has_no_bands(engines: Engines, model: str, precision: Precision) -> None:
    deep, flat = (upscaled(engines, model, precision, depth) for depth in (10, 8))
    assert [made.depth for made in deep] == [10] * 4
    assert {plane.dtype for made in deep for plane in made.planes} == {np.dtype(np.uint16)}
    # a sample of 10 bits is a quarter of a level: rounded, it is off by 0.07
    assert max(float(error_of(made).std()) for made in deep) < 0.12
    assert min(float(error_of(made).std()) for made in flat) > 0.2
    assert len(np.unique(deep[-1].planes[0])) > 3 * len(np.unique(flat[-1].planes[0]))


@pytest.mark.parametrize("model", ["bicubic-x4", "fast-small"])
@pytest.mark.parametrize("size", ["192x108", "96x54", "384x216"])
def test_any_size_keeps_the_depth(engines: Engines, model: str, size: str) -> None:
    target = TargetSize.parse(size, None)
    made = upscaled(engines, model, "float32", 10, target)[-1]
    assert f"{made.width}x{made.height}" == size
    assert made.depth == 10
    assert float(error_of(made).std()) < 0.12


@pytest.mark.parametrize("tags", [LIMITED, FULL])
@pytest.mark.parametrize("colour", list(Colour))
@pytest.mark.parametrize("depth", [9, 10, 12, 16])
def test_there_and_back_is_exact(tags: ColourTags, colour: Colour, depth: int) -> None:
    """What a network that changes nothing gives, but for what chroma's filters do to edges."""
    before = frame(depth=depth, tags=tags)
    planes = network_output(network_input(before, colour), before, colour)
    for plane, expected in zip(planes, before.planes, strict=True):
        assert plane.dtype == np.uint16
        assert np.abs(plane.astype(int) - expected).max() <= (4 if depth == 16 else 1)


def test_rgb_of_16_bits_keeps_them(engines: Engines) -> None:
    levels = np.rint(ramp() * 257).astype(np.uint16)
    tags = ColourTags(0, 1, 13, full_range=True)
    rgb = Frame((np.dstack([levels] * 3),), tags, 0, Fraction(1), depth=16)
    for model in ("bicubic-x4", "fast-small"):
        engine = engines.load(find(model, ()), "float32")
        stream = engine.stream(StreamRequest("still", Meter(), print))
        (made,) = [f.result(30) for f in [*stream.push(rgb), *stream.flush()]]
        assert (made.depth, made.planes[0].shape) == (16, (4 * HEIGHT, 4 * WIDTH, 3))
        grey = replace(made, planes=(made.planes[0][..., :1].repeat(3, 2),))
        assert float(error_of_grey(grey.planes[0][..., 0]).std()) < 0.02


def error_of_grey(plane: Plane) -> NDArray[np.float64]:
    error: NDArray[np.float64] = plane / 257 - ramp(Fraction(4))
    return error[32:-32, 32:-32]
