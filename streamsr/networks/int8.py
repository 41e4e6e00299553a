"""A stack of convolutions in 8-bit integers, for CPUs that have instructions for them (VNNI).

Quantised after training (Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, 2018): weights by output channel, features by layer, sums in 32
bits. The kernels are oneDNN's, as torch's own quantised models use them.

What the features of a layer may reach is tried out on hard edges of full contrast: they give half
as much again as natural pictures do, so that no footage need be at hand and none can mislead.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from streamsr.networks.convolutions import Convolutions

__all__ = ["Int8Convolutions", "has_vnni", "steps_of"]

BLACK, STEPS = 16, 219  # 8-bit luma of limited range is taken as it is
SAME = [1, 1]  # stride, padding and dilation alike
HEADROOM = 1.1  # over the largest features that hard edges give
EDGE_SIDE = 6  # pixels of a block


class Int8Convolutions(nn.Module):
    """``convolutions`` of luma in 8 bits: (b, c, h, w) in [0, 1] to (b, width, h, w) float32."""

    def __init__(self, convolutions: Convolutions) -> None:
        super().__init__()
        self._steps = steps_of(convolutions)
        first, *others = (cast(nn.Conv2d, conv) for conv in convolutions)
        self._first = _packed(first, 1 / STEPS, BLACK)
        self._others = [
            _packed(conv, step, 0) for conv, step in zip(others, self._steps, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        levels = (x * STEPS).add_(BLACK).round_().clamp_(0, 255).to(torch.uint8)
        features = levels.contiguous(memory_format=torch.channels_last)
        *hidden, last = self._first, *self._others
        for layer, step in zip(hidden, self._steps, strict=True):
            features = layer(features, step, torch.uint8, "relu")
        return last(features, 1.0, torch.float32, "none")


def steps_of(convolutions: Convolutions) -> list[float]:
    """How far apart the levels of the features are after each convolution but the last."""
    frames = cast(nn.Conv2d, convolutions[0]).in_channels
    with torch.inference_mode():
        peaks = convolutions.peaks(_hard_edges().expand(-1, frames, -1, -1))
    return [HEADROOM * max(peak, 1e-6) / 255 for peak in peaks]


def _hard_edges() -> Tensor:
    """Blocks of black and white in all their neighbourhoods, and their negative: (2, 1, h, w)."""
    place = torch.arange(16).repeat_interleave(EDGE_SIDE)
    edges = ((place[:, None] & place) == 0).float()  # Sierpinski's triangle
    return torch.stack((edges, 1 - edges))[:, None]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One convolution, its weights laid out for levels ``step`` apart, ``zero`` being 0."""

    weight: Tensor
    scales: Tensor  # (out,): steps of the weights
    zeros: Tensor  # (out,): 0, the level of a weight of 0
    bias: Tensor
    step: float
    zero: int

    def __call__(self, x: Tensor, step: float, dtype: torch.dtype, activation: str) -> Tensor:
        """Levels ``step`` apart, or with float32 as ``dtype`` the values."""
        output: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *(x, self.step, self.zero, self.weight, self.scales, self.zeros, self.bias),
            *(SAME, SAME, SAME, 1),
            *(step, 0, dtype, activation, [], ""),
        )
        return output


def _packed(conv: nn.Conv2d, step: float, zero: int) -> _Layer:
    weight = conv.weight.detach().float()
    scales = (weight.abs().amax((1, 2, 3)) / 127).clamp_min(1e-12)
    levels = (weight / scales[:, None, None, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qconv_prepack(levels, scales, step, zero, SAME, SAME, SAME, 1)
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    assert conv.bias is not None
    return _Layer(packed, scales, zeros, conv.bias.detach().float(), step, zero)


def has_vnni() -> bool:
    """Whether this machine's CPU multiplies 8-bit integers and adds them in 32 bits at once.

    Without that oneDNN saturates sums at 16 bits, which is another network.
    """
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_vnni", False) or can.get("avx_vnni", False))
