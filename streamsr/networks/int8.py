"""A stack of convolutions in 8-bit integers, for CPUs with AVX2; those with VNNI are quicker still.

Quantised after training (Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, 2018): weights by output channel, features by layer, sums in 32
bits. The kernels are oneDNN's, as torch's own quantised models use them. Without VNNI they add the
products of two neighbouring inputs in 16 bits: the weights of such pairs are kept so small there
that no sum can saturate, which costs levels where two large ones of one sign meet.

The levels of a layer's features span most of what blocks of black and white give, which is more
than natural images do: no footage need be at hand, and none can mislead. Texture of single pixels
at full contrast saturates; spanning it would coarsen every frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.convolutions import Convolutions

__all__ = ["LEVELS", "Balanced", "Int8Convolutions", "PackedConv", "hard_edges", "runs_int8"]

LEVELS = 255  # above 0: 8-bit luma is taken as it is
WEIGHT_LEVELS = 127  # on either side of 0
PAIR_LEVELS = 127  # of two weights together, rounded to 128 at most: 128 * 255 has 15 bits
BLACK, WHITE = 16 / 255, 235 / 255
EDGE_SIDE = 6  # pixels of a block
LEAST_SHARE = 0.1  # of a layer's largest feature: smaller ones count as so large
SPAN = 0.8  # of what such edges give: more is coarser, less cuts off drawings


class Int8Convolutions(nn.Module):
    """``convolutions`` of luma in 8 bits: (b, c, h, w) in [0, 1] to (b, width, h, w) float32.

    For inference on this machine's CPU alone: it has no parameters, and cannot be copied or saved.
    """

    def __init__(self, convolutions: Convolutions) -> None:
        super().__init__()
        fold = math.isqrt(convolutions.inputs)
        stack = Balanced.of(convolutions, convolutions.peaks(F.pixel_unshuffle(hard_edges(), fold)))
        self._steps = stack.steps
        steps_in = [1 / LEVELS, *self._steps]
        # pixels side by side have weights of one sign: a pair of them would be limited most
        self._apart = 2 if _saturates() and convolutions.inputs > 1 else 1
        weights = [_spread(stack.weights[0], self._apart), *stack.weights[1:]]
        layers = zip(weights, stack.biases, steps_in, strict=True)
        *self._hidden, self._last = [PackedConv.of(*layer) for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        levels = (x * LEVELS).round_().clamp_(0, LEVELS).to(torch.uint8)
        features = _spread(levels, self._apart)
        for layer, step in zip(self._hidden, self._steps, strict=True):
            features = layer(features, step)
        return self._last.values(features)


@dataclass(frozen=True, slots=True)
class Balanced:
    """Convolutions that give what others give, their features brought closer to one size.

    A layer has one step for all its features: those that stay small would have few levels. Each
    is made larger by the root of how small it is, and the next layer's weights smaller (Nagel et
    al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019).
    """

    weights: list[Tensor]
    biases: list[Tensor]
    steps: list[float]  # of the features after each layer but the last
    shares: list[Tensor]  # (features,): what each of them was divided by

    @classmethod
    def of(cls, convolutions: Convolutions, peaks: Sequence[Tensor]) -> Self:
        """Balances the features whose largest are ``peaks``, (features,) a layer."""
        convs = [cast(nn.Conv2d, conv) for conv in convolutions]
        weights = [conv.weight.detach().float() for conv in convs]
        biases = [cast(Tensor, conv.bias).detach().float() for conv in convs]
        steps, shares = [], []
        for n, peak in enumerate(peaks):
            most = max(float(peak.max()), 1e-6)
            share = (peak / most).clamp_min(LEAST_SHARE).sqrt()
            weights[n] = weights[n] / share[:, None, None, None]
            biases[n] = biases[n] / share
            weights[n + 1] = weights[n + 1] * share[None, :, None, None]
            steps.append(SPAN * most / LEVELS)
            shares.append(share)
        return cls(weights, biases, steps, shares)


def hard_edges() -> Tensor:
    """Blocks of black and white, corners and islands among them, and their negative: (2, 1, h, w)
    luma."""
    place = torch.arange(16).repeat_interleave(EDGE_SIDE)
    edges = ((place[:, None] & place) == 0).float()  # Sierpinski's triangle
    return BLACK + (WHITE - BLACK) * torch.stack((edges, 1 - edges))[:, None]


@dataclass(frozen=True, slots=True)
class PackedConv:
    """A 3x3 convolution of (b, c, h, w) uint8 levels in ``channels_last``, as oneDNN lays it out.

    The levels are ``step`` apart and 0 is level 0.
    """

    weight: Tensor
    weight_steps: Tensor  # (out,)
    weight_zeros: Tensor  # (out,): 0, the level of a weight of 0
    bias: Tensor
    step: float
    padding: tuple[int, int]

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor, step: float) -> Self:
        """Returns the convolution of ``weight`` for inputs whose levels are ``step`` apart."""
        levels, steps = _quantised(weight)
        return cls.of_packed(levels, steps, bias, step, (1, 1))

    @classmethod
    def of_levels(cls, weight: Tensor, bias: Tensor, zeros: Tensor) -> Self:
        """Returns the convolution of ``weight``, (out, c, 3, 3), which takes levels as they are,
        those of each input less its level in ``zeros``, (c,). The input has a border of its own.
        """
        levels, steps = _quantised(weight)
        of_zeros = (levels.float() * zeros[None, :, None, None]).sum((1, 2, 3)) * steps
        return cls.of_packed(levels, steps, bias - of_zeros, 1.0, (0, 0))

    @classmethod
    def of_packed(
        cls, levels: Tensor, steps: Tensor, bias: Tensor, step: float, padding: tuple[int, int]
    ) -> Self:
        """Returns the convolution of weights that are ``levels``, (out, c, 3, 3) int8, ``steps``
        apart, (out,)."""
        ones = (1, 1)
        packed = torch.ops.onednn.qconv_prepack(levels, steps, step, 0, ones, padding, ones, 1)
        return cls(packed, steps, torch.zeros(len(steps), dtype=torch.int64), bias, step, padding)

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Returns (b, out, h, w) uint8, levels ``step`` apart, what is below 0 at 0 (ReLU)."""
        return self._run(x, step, torch.uint8, "relu")

    def values(self, x: Tensor) -> Tensor:
        """Returns (b, out, h, w) float32."""
        return self._run(x, 1.0, torch.float32, "none")

    def _run(self, x: Tensor, step: float, dtype: torch.dtype, activation: str) -> Tensor:
        output: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *(x, self.step, 0, self.weight, self.weight_steps, self.weight_zeros, self.bias),
            *((1, 1), self.padding, (1, 1), 1),
            *(step, 0, dtype, activation, [], ""),
        )
        return output


def _spread(x: Tensor, apart: int) -> Tensor:
    """(b, c, h, w) to (b, c * apart, h, w) in ``channels_last``, zeros between the channels."""
    batch, channels, *size = x.shape
    if apart == 1:
        return x.contiguous(memory_format=torch.channels_last)
    shape = (batch, channels * apart, *size)
    spread = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last).zero_()
    spread[:, ::apart] = x
    return spread


def _quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights in levels of 8 bits, and how far these are apart in each output."""
    steps = weight.abs().amax((1, 2, 3)) / WEIGHT_LEVELS
    if _saturates():
        even = F.pad(weight, (0, 0, 0, 0, 0, weight.shape[1] % 2))
        pairs = even[:, ::2] + even[:, 1::2]
        steps = torch.maximum(steps, pairs.abs().amax((1, 2, 3)) / PAIR_LEVELS)
    steps = steps.clamp_min(1e-12)
    return (weight / steps[:, None, None, None]).round().to(torch.int8), steps


@cache
def _saturates() -> bool:
    """Whether two products are added in 16 bits, as they are without VNNI, or where
    ONEDNN_MAX_CPU_ISA hides it from oneDNN."""
    weight = torch.full((8, 8, 3, 3), WEIGHT_LEVELS, dtype=torch.int8)
    conv = PackedConv.of_packed(weight, torch.ones(8), torch.zeros(8), 1.0, (0, 0))
    brightest = torch.full((1, 8, 8, 8), LEVELS, dtype=torch.uint8)
    values = conv.values(brightest.contiguous(memory_format=torch.channels_last))
    return bool(values.amin() < weight[0].numel() * WEIGHT_LEVELS * LEVELS)


def runs_int8() -> bool:
    """Returns whether torch has the kernels, and the CPU instructions for them."""
    has_kernels = hasattr(torch.ops.onednn, "qconv2d_pointwise")
    return has_kernels and bool(torch.cpu.get_capabilities().get("avx2", False))
