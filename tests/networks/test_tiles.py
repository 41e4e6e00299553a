"""Tiles of a frame: they cover it once, with all that a network sees around each."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from streamsr.networks.edvr import EDVR
from streamsr.networks.tiles import tile_counts, tiles_of

sides = st.integers(1, 40)


@given(
    sides, sides, st.sampled_from([2, 4, 8, 16]), st.integers(0, 50), st.sampled_from([1, 4, 16])
)
def test_tiles_cover_a_frame_once(
    height: int, width: int, count: int, reach: int, multiple: int
) -> None:
    size = height * multiple, width * multiple
    seen = torch.zeros(size, dtype=torch.int)
    tiles = tiles_of(size, count, reach, multiple)
    for tile in tiles:
        seen[tile.kept] += 1
        for first, length, start, read, whole in (
            (tile.first_row, tile.rows, tile.top, tile.height, size[0]),
            (tile.first_column, tile.columns, tile.left, tile.width, size[1]),
        ):
            assert start <= max(0, first - reach)
            assert start + read >= min(whole, first + length + reach)
            assert 0 <= start <= whole - read
            assert start % multiple == read % multiple == 0
    assert bool((seen == 1).all())
    assert len(tiles) <= count
    assert len({(tile.height, tile.width) for tile in tiles}) == 1


def test_only_tiles_that_save_memory_are_offered() -> None:
    assert tile_counts((1080, 1920), 100, 4) == [2, 4, 8, 16]
    assert tile_counts((64, 64), 100, 4) == []
    areas = [1080 * 1920.0]
    for count in tile_counts((1080, 1920), 200, 4):
        tile = tiles_of((1080, 1920), count, 200, 4)[0]
        areas.append(tile.height * tile.width)
        assert areas[-1] < 0.9 * areas[-2]


OFFSETS = 16  # of what an EDVR says
FORMS = {"m": {}, "without-tsa": {"with_tsa": False}, "predeblur": {"with_predeblur": True}}


@pytest.mark.parametrize("form", FORMS)
def test_an_edvr_sees_as_far_as_it_says(form: str) -> None:
    """By the gradient of one output pixel, the offsets of its alignment being next to nothing."""
    torch.manual_seed(0)
    network = EDVR(3, 3, 2, 3, 1, 1, 1, **FORMS[form])
    network.upconv1, network.upconv2 = (nn.Conv2d(2, 8, 3, 1, 1) for _ in range(2))
    network.conv_hr, network.conv_last = nn.Conv2d(2, 2, 3, 1, 1), nn.Conv2d(2, 3, 3, 1, 1)
    for name, parameter in network.named_parameters():
        nn.init.normal_(parameter, std=1e-3 if "conv_offset" in name else 0.4)
    network.double()
    side, at = 176, 87
    x = torch.rand(1, 3, 3, side, side, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[0, :, 4 * at, 4 * at].sum(), x)
    places = torch.cat(gradient[0].abs().amax((0, 1)).nonzero(as_tuple=True))
    far, filters = int((places - at).abs().max()), network.reach - OFFSETS
    assert far <= filters <= 1.35 * far
