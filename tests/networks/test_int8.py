"""The fast network in 8-bit integers: what it computes, and how far that is from floats."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from streamsr.networks.convolutions import Convolutions
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import BLACK, HEADROOM, STEPS, Int8Convolutions, has_vnni
from streamsr.networks.resample import resize

pytestmark = pytest.mark.skipif(not has_vnni(), reason="this CPU has no VNNI")

SIZES = pytest.mark.parametrize("size", [(18, 32), (17, 31), (1, 1)], ids=str)


def convolutions() -> Convolutions:
    torch.manual_seed(5)
    made = Convolutions.of([1, 24, 24, 24, 16]).requires_grad_(False)
    made[-1].weight.mul_(10)  # fresh, it gives hardly anything
    for conv in made:
        conv.bias.uniform_(-0.05, 0.05)
    return made


def luma(size: tuple[int, int], count: int = 2) -> Tensor:
    """(count, 1, h, w) of whole 8-bit levels, all of them there may be."""
    levels = torch.randint(0, 256, (count, 1, *size), generator=torch.Generator().manual_seed(6))
    return (levels - BLACK) / STEPS


def in_integers(convs: Convolutions, peaks: list[float], x: Tensor) -> npt.NDArray[np.float64]:
    """What the literature says that such a stack computes, one tap after the other."""
    levels = np.round(x.double().numpy() * STEPS).astype(np.int64)  # black is 0, as outside
    step_in = 1 / STEPS
    for number, conv in enumerate(convs):
        weight = conv.weight.double().numpy()
        steps = np.abs(weight).max((1, 2, 3)) / 127
        whole = np.round(weight / steps[:, None, None, None]).astype(np.int64)
        wide = np.pad(levels, ((0, 0), (0, 0), (1, 1), (1, 1)))
        height, width = levels.shape[2:]
        sums = sum(
            np.einsum("oc,bchw->bohw", whole[:, :, i, j], wide[:, :, i : i + height, j : j + width])
            for i in range(3)
            for j in range(3)
        )
        values = sums * (steps * step_in)[:, None, None] + conv.bias.double().numpy()[:, None, None]
        if number == len(peaks):
            return np.asarray(values)
        step_in = HEADROOM * peaks[number] / 255
        levels = np.clip(np.round(values / step_in), 0, 255).astype(np.int64)
    raise AssertionError


@SIZES
def test_it_computes_what_the_literature_says(size: tuple[int, int]) -> None:
    convs, x = convolutions(), luma(size)
    peaks = convs.peaks(x)
    output = Int8Convolutions(convs, peaks)(x)
    assert output.dtype == torch.float32
    # a sum that lies between two levels may be rounded either way
    np.testing.assert_allclose(output.numpy(), in_integers(convs, peaks, x), atol=0.02)
    assert np.abs(output.numpy() - in_integers(convs, peaks, x)).mean() < 1e-4


def test_it_is_near_to_the_floats() -> None:
    convs, x = convolutions(), luma((36, 64))
    exact = convs(x)
    error = Int8Convolutions(convs, convs.peaks(x))(x) - exact
    assert 0 < error.pow(2).mean() < exact.var() / 1000


def test_features_beyond_the_peaks_are_cut_off_and_others_are_not() -> None:
    convs, x = convolutions(), luma((18, 32))
    peaks = convs.peaks(x)
    exact = convs(x)
    low, high = (
        (Int8Convolutions(convs, [share * peak for peak in peaks])(x) - exact).pow(2).mean()
        for share in (0.3, 1)
    )
    assert low > 30 * high


def test_a_picture_is_the_same_beside_others() -> None:
    convs, x = convolutions(), luma((18, 32), 5)
    made = Int8Convolutions(convs, convs.peaks(x))
    together = made(x)
    for number in range(5):
        assert torch.equal(made(x[number : number + 1]), together[number : number + 1])


def test_there_is_a_peak_for_each_layer_but_the_last() -> None:
    with pytest.raises(ValueError, match="peaks: got 4, allowed are 3"):
        Int8Convolutions(convolutions(), [1.0] * 4)


@SIZES
def test_the_skip_of_a_quantised_network_is_exact(size: tuple[int, int]) -> None:
    network = Fast(features=8, layers=3).requires_grad_(False)
    network.body[-1].weight.zero_()
    network.quantise([1.0, 1.0])
    x = torch.rand(2, 1, 1, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x), resize(x[:, 0], 4), atol=1e-5, rtol=0)
