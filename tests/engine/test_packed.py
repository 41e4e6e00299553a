"""Packed R'G'B' under a network of luma, made the quick way: what its definition gives."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.colour import TorchConverter, network_output
from streamsr.networks.facts import Colour

RGB = ColourTags(0, 1, 13, True)


@pytest.mark.parametrize("depth", [8, 12, 16])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_it_is_bicubic_and_the_difference_of_the_lumas(scale: int, depth: int) -> None:
    random = np.random.default_rng(scale)
    kind = np.uint8 if depth == 8 else np.uint16
    samples = random.integers(0, 1 << depth, (15, 22, 3)).astype(kind)
    frame = Frame((samples,), RGB, 0, Fraction(1), depth=depth)
    luma = torch.from_numpy(random.random((1, 15 * scale, 22 * scale), np.float32))
    (quick,) = network_output(luma, frame, Colour.LUMA)
    eight = torch.from_numpy(frame.levels_of(0))
    defined = torch.empty(15 * scale, 22 * scale, 3)
    bad = torch.zeros(1, dtype=torch.int32)
    TorchConverter(Colour.LUMA).write(luma, (eight,), RGB, (defined,), bad)
    levels = quick.astype(np.float32) / frame.step
    assert quick.dtype == kind
    assert np.abs(levels - defined.numpy()).max() <= 0.51 + 0.5 / frame.step
    if depth == 8:
        assert np.mean(quick == defined.numpy()) > 0.999
