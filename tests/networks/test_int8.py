"""The fast network in 8-bit integers: what it computes, and how far that is from floats."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.colour import network_input
from streamsr.networks import int8
from streamsr.networks.convolutions import Convolutions
from streamsr.networks.facts import Colour
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import Balanced, Int8Convolutions, hard_edges, runs_int8
from streamsr.networks.resample import resize
from streamsr.sources.demo import Scene
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import find, listing
from streamsr.zoo.weights import read_weights

pytestmark = pytest.mark.skipif(not runs_int8(), reason="this CPU has no AVX2")

TICK = Fraction(1, 25)
SHIPPED = [
    name
    for name, entry in listing().items()
    if (entry.card.network, entry.card.precision) == ("fast", "int8")
]
SIZES = pytest.mark.parametrize("size", [(18, 32), (17, 31), (1, 1)], ids=str)


def convolutions(inputs: int = 1) -> Convolutions:
    torch.manual_seed(5)
    made = Convolutions.of([inputs, 24, 24, 24, 16]).requires_grad_(False)
    made[-1].weight.mul_(10)  # fresh, it gives hardly anything
    for conv in made:
        conv.bias.uniform_(-0.05, 0.05)
    return made


def luma(size: tuple[int, int], count: int = 2) -> Tensor:
    """(count, 1, h, w) of whole 8-bit levels, all of them there may be."""
    levels = torch.randint(0, 256, (count, 1, *size), generator=torch.Generator().manual_seed(6))
    return levels / 255


def balanced(convs: Convolutions) -> Balanced:
    fold = math.isqrt(convs.inputs)
    return Balanced.of(convs, convs.peaks(F.pixel_unshuffle(hard_edges(), fold)))


def in_integers(convs: Convolutions, x: Tensor) -> npt.NDArray[np.float64]:
    """What the literature says that such a stack computes, one tap after the other."""
    levels = np.round(x.double().numpy() * 255).astype(np.int64)
    stack = balanced(convs)
    step_in = 1 / 255
    for number, (weight, bias) in enumerate(zip(stack.weights, stack.biases, strict=True)):
        taps = weight.double().numpy()
        steps = np.abs(taps).max((1, 2, 3)) / 127
        if int8._saturates() and number:  # products of two neighbouring inputs are added in 16 bits
            even = np.pad(taps, ((0, 0), (0, taps.shape[1] % 2), (0, 0), (0, 0)))
            pairs = even.reshape(len(even), -1, 2, 3, 3).sum(2)
            steps = np.maximum(steps, np.abs(pairs).max((1, 2, 3)) / 127)
        whole = np.round(taps / steps[:, None, None, None]).astype(np.int64)
        wide = np.pad(levels, ((0, 0), (0, 0), (1, 1), (1, 1)))
        height, width = levels.shape[2:]
        sums = sum(
            np.einsum("oc,bchw->bohw", whole[:, :, i, j], wide[:, :, i : i + height, j : j + width])
            for i in range(3)
            for j in range(3)
        )
        values = sums * (steps * step_in)[:, None, None] + bias.double().numpy()[:, None, None]
        if number == len(stack.steps):
            return np.asarray(values)
        step_in = stack.steps[number]
        levels = np.clip(np.round(values / step_in), 0, 255).astype(np.int64)
    raise AssertionError


@SIZES
@pytest.mark.parametrize("fold", [1, 2])
def test_it_computes_what_the_literature_says(fold: int, size: tuple[int, int]) -> None:
    convs, x = convolutions(fold**2), luma((size[0] * fold, size[1] * fold))
    x = F.pixel_unshuffle(x, fold)
    output, wanted = Int8Convolutions(convs)(x), in_integers(convs, x)
    assert output.dtype == torch.float32
    # a sum that lies between two levels may be rounded either way
    np.testing.assert_allclose(output.numpy(), wanted, atol=0.02)
    assert np.abs(output.numpy() - wanted).mean() < 1e-4


EXTREMES = """
import sys, torch
from streamsr.networks.int8 import PackedConv, _quantised, _saturates
assert _saturates() == (sys.argv[1] == "True"), "what oneDNN was told"
seeded = torch.Generator().manual_seed(1)
for inputs in (1, 2, 3, 4, 5, 8, 16, 31, 34, 64):
    weight = torch.rand(16, inputs, 3, 3, generator=seeded) ** 0.2
    weight *= torch.randint(0, 2, (16, 1, 3, 3), generator=seeded) * 2 - 1
    levels, steps = _quantised(weight)
    assert levels.abs().max() >= 60
    x = 255 * torch.randint(0, 4, (1, inputs, 20, 30), generator=seeded).clamp_max(1)
    wanted = torch.nn.functional.conv2d(x.double(), levels.double(), padding=1)
    given = x.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    got = PackedConv.of(weight, torch.zeros(16), 1.0).values(given)
    torch.testing.assert_close(got.double() / steps[:, None, None].double(), wanted,
                               atol=0.5, rtol=1e-6)
"""


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE", "ALL"])
def test_no_sum_saturates_whichever_instructions_there_are(isa: str) -> None:
    """The brightest inputs and the largest weights, on CPUs that have less than this one, too."""
    saturates = isa != "ALL" or int8._saturates()
    done = subprocess.run(
        [sys.executable, "-c", EXTREMES, str(saturates)],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_balanced_convolutions_give_what_the_others_give() -> None:
    """In floats: only how large the features are between them changes."""
    convs, x = convolutions(), luma((18, 32))
    convs[1].weight[::3] *= 0.01  # these features are small
    convs[1].bias[::3] *= 0.01
    stack = balanced(convs)
    features = x
    for weight, bias in zip(stack.weights[:-1], stack.biases[:-1], strict=True):
        features = F.relu(F.conv2d(features, weight, bias, padding=1))
    output = F.conv2d(features, stack.weights[-1], stack.biases[-1], padding=1)
    torch.testing.assert_close(output, convs(x), atol=1e-4, rtol=1e-4)
    assert stack.shares[1][::3].max() < 0.5 * stack.shares[1].max()


def test_balancing_keeps_levels_for_small_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one step for all features of a layer these would have a few levels of 255."""
    convs, x = convolutions(), luma((36, 64))
    convs[1].weight[::2] *= 0.01
    convs[1].bias[::2] *= 0.01
    convs[2].weight[:, ::2] *= 100
    error = (Int8Convolutions(convs)(x) - convs(x)).pow(2).mean()
    monkeypatch.setattr(int8, "LEAST_SHARE", 1.0)
    assert error < 0.7 * (Int8Convolutions(convs)(x) - convs(x)).pow(2).mean()


def test_it_is_near_to_the_floats() -> None:
    convs, x = convolutions(), luma((36, 64))
    exact = convs(x)
    error = Int8Convolutions(convs)(x) - exact
    assert 0 < error.pow(2).mean() < exact.var() / 800


def test_an_image_is_the_same_beside_others() -> None:
    convs, x = convolutions(), luma((18, 32), 5)
    made = Int8Convolutions(convs)
    together = made(x)
    for number in range(5):
        assert torch.equal(made(x[number : number + 1]), together[number : number + 1])


@SIZES
def test_the_skip_of_a_quantised_network_is_exact(size: tuple[int, int]) -> None:
    network = Fast(features=8, layers=3).requires_grad_(False)
    network.body[-1].weight.zero_()
    network.quantise()
    x = torch.rand(2, 1, 1, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x), resize(x[:, 0], 4), atol=1e-5, rtol=0)


def test_every_level_of_8_bit_luma_stays_itself() -> None:
    convs = Convolutions.of([1, 1]).requires_grad_(False)
    convs[0].weight.zero_()
    convs[0].weight[0, 0, 1, 1] = 1
    luma = np.arange(256, dtype=np.uint8).reshape(16, 16)
    frame = Frame((luma, luma[::2, ::2], luma[::2, ::2]), ColourTags(1, 1, 1), 0, TICK)
    shown = network_input(frame, Colour.LUMA, torch.device("cpu"))[None]
    output = Int8Convolutions(convs)(shown)
    torch.testing.assert_close(output, shown, atol=1e-6, rtol=0)


def test_one_network_serves_many_threads() -> None:
    """As the engine's: each has windows of its own."""
    network = made("fast-small")
    network.quantise()
    windows = [luma((36 + 4 * n, 64))[:, None] for n in range(8)]
    with torch.inference_mode():
        wanted = [network(window) for window in windows]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            outputs = threads.map(network.forward, windows)
            assert all(map(torch.equal, outputs, wanted))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_loses_little(name: str) -> None:
    """Of its own PSNR, on images that it has not seen: the built-in camera's scene."""
    scene = Scene(576, 336)
    exact, quantised = (made(name) for _ in range(2))
    quantised.quantise()
    lost, changed = [], []
    for number in (0, 40):
        truth = torch.from_numpy(scene.frame(number)[0]).float()[None, None]
        low = resize(truth, Fraction(1, exact.scale)).round().clamp(0, 255) / 255
        ours, whole = (network(low[None]) * 255 for network in (quantised, exact))
        lost.append(float(psnr(whole, truth) - psnr(ours, truth)))
        changed.append(float((ours - whole).abs().mean()))
    assert -0.05 < sum(lost) / 2 < 0.05
    assert 0 < max(changed) < 0.6  # levels


def made(name: str) -> Fast:
    card = find(name).card
    network = make_network(card)
    assert isinstance(network, Fast)
    assert card.weights is not None
    read_weights(find(name).folder / card.weights.file, card.weights.sha256, network)
    return network.requires_grad_(False)


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    return -10 * torch.log10(((image.clamp(0, 255) - truth) / 255).square().mean())
