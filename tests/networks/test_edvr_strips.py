"""Convolutions some rows at a time give what they give of the whole."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.edvr import EDVR, network
from streamsr.networks.edvr.strips import Layer, in_strips


def doubled(x: Tensor) -> Tensor:
    return F.pixel_shuffle(x, 2)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 7, 12, 13])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_strips_do_not_show(height: int, rows: int) -> None:
    torch.manual_seed(0)
    layers: list[Layer] = [
        (nn.Conv2d(3, 8, 3, padding=1), doubled),
        (nn.Conv2d(2, 8, 3, padding=1), torch.relu),
        (nn.Conv2d(8, 8, 3, padding=1), doubled),
        (nn.Conv2d(2, 5, 3, padding=1), torch.relu),
    ]
    x = torch.randn(2, 3, height, 6)
    with torch.no_grad():
        strips = list(in_strips(x, layers, rows))
        expected = x
        for conv, then in layers:
            expected = then(conv(expected))
    torch.testing.assert_close(torch.cat(strips, 2), expected)
    assert all(strip.shape[2] <= 4 * 2 * rows + 12 for strip in strips)


@pytest.mark.parametrize("width", [4, 8, 9, 18])
@pytest.mark.parametrize("out", [1, 3, 4, 5])
def test_few_channels_are_those_of_the_whole(width: int, out: int) -> None:
    layer = nn.Conv2d(6, out, 3, padding=1, bias=out != 3)
    x = torch.randn(2, 6, 7, width).to(memory_format=torch.channels_last)
    with torch.no_grad():
        strips = list(in_strips(x, [(layer, torch.relu)], 3))
        torch.testing.assert_close(torch.cat(strips, 2), torch.relu(layer(x)))


@pytest.mark.parametrize("options", [{}, {"with_predeblur": True, "hr_in": True}])
def test_edvr_in_strips_is_edvr(options: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    small = EDVR(num_feat=8, num_frame=3, **options)
    x = torch.rand(1, 3, 3, 32, 48)
    with torch.inference_mode():
        expected = small(x)
        monkeypatch.setattr(network, "STRIP_PX", 24)
        torch.testing.assert_close(small(x), expected)
