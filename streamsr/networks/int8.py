"""A stack of convolutions in 8-bit integers, for CPUs that have instructions for them (VNNI).

Quantised after training (Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, 2018): weights by output channel, features by layer, sums in 32
bits. The kernels are oneDNN's, as torch's own quantised models use them.

The levels of a layer's features span most of what blocks of black and white give, which is more
than natural images do: no footage need be at hand, and none can mislead. Texture of single pixels
at full contrast saturates; spanning it would coarsen every frame.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from streamsr.networks.convolutions import SAME, Convolutions

__all__ = ["Int8Convolutions", "runs_int8", "steps_of"]

LEVELS = 255  # above 0: 8-bit luma is taken as it is
BLACK, WHITE = 16 / 255, 235 / 255
EDGE_SIDE = 6  # pixels of a block
SPAN = 0.8  # of what such edges give: more is coarser, less cuts off drawings


class Int8Convolutions(nn.Module):
    """``convolutions`` of luma in 8 bits: (b, c, h, w) in [0, 1] to (b, width, h, w) float32.

    For inference on this machine's CPU alone: it has no parameters, and cannot be copied or saved.
    """

    def __init__(self, convolutions: Convolutions) -> None:
        super().__init__()
        convs = [cast(nn.Conv2d, conv) for conv in convolutions]
        self._steps = steps_of(convolutions)
        steps_in = [1 / LEVELS, *self._steps]
        self._layers = [_packed(conv, step) for conv, step in zip(convs, steps_in, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        levels = (x * LEVELS).round_().clamp_(0, LEVELS).to(torch.uint8)
        features = levels.contiguous(memory_format=torch.channels_last)
        *hidden, last = self._layers
        for layer, step in zip(hidden, self._steps, strict=True):
            features = layer(features, step, torch.uint8, "relu")
        return last(features, 1.0, torch.float32, "none")


def steps_of(convolutions: Convolutions) -> list[float]:
    """Returns how far apart the levels of the features are after each convolution but the last."""
    with torch.inference_mode():
        peaks = convolutions.peaks(_hard_edges())
    return [SPAN * max(peak, 1e-6) / LEVELS for peak in peaks]


def _hard_edges() -> Tensor:
    """Blocks of black and white, corners and islands among them, and their negative: (2, 1, h, w)
    luma."""
    place = torch.arange(16).repeat_interleave(EDGE_SIDE)
    edges = ((place[:, None] & place) == 0).float()  # Sierpinski's triangle
    return BLACK + (WHITE - BLACK) * torch.stack((edges, 1 - edges))[:, None]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One convolution of levels ``step`` apart; 0 is level 0."""

    weight: Tensor  # as oneDNN lays it out
    weight_steps: Tensor  # (out,)
    weight_zeros: Tensor  # (out,): 0, the level of a weight of 0
    bias: Tensor
    step: float

    def __call__(self, x: Tensor, step: float, dtype: torch.dtype, activation: str) -> Tensor:
        """Levels ``step`` apart, or with float32 as ``dtype`` the values."""
        output: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *(x, self.step, 0, self.weight, self.weight_steps, self.weight_zeros, self.bias),
            *(SAME, SAME, SAME, 1),
            *(step, 0, dtype, activation, [], ""),
        )
        return output


def _packed(conv: nn.Conv2d, step: float) -> _Layer:
    weight = conv.weight.detach().float()
    steps = (weight.abs().amax((1, 2, 3)) / 127).clamp_min(1e-12)
    levels = (weight / steps[:, None, None, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qconv_prepack(levels, steps, step, 0, SAME, SAME, SAME, 1)
    zeros = torch.zeros(len(steps), dtype=torch.int64)
    assert conv.bias is not None
    return _Layer(packed, steps, zeros, conv.bias.detach().float(), step)


def runs_int8() -> bool:
    """Returns whether torch has the kernels, and the CPU sums products of 8 bits in 32 at once.

    Without that, or where ONEDNN_MAX_CPU_ISA hides it from oneDNN, sums saturate at 16 bits.
    """
    can = torch.cpu.get_capabilities()
    vnni = can.get("avx512_vnni", False) or can.get("avx_vnni", False)
    return bool(vnni) and hasattr(torch.ops.onednn, "qconv2d_pointwise")
