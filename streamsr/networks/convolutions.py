"""A stack of 3x3 convolutions at one size: what the fast networks are made of."""

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate, islice, pairwise
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SAME", "Convolutions"]

SAME = [1, 1]  # padding, stride and dilation alike


class Convolutions(nn.ModuleList):
    """(b, first width, h, w) to (b, last width, h, w) float32, ReLU between the convolutions.

    They run in the dtype and memory format of their weights; bfloat16 in ``channels_last`` is the
    fast form on a CPU with matrix units for it.
    """

    @classmethod
    def of(cls, widths: Sequence[int]) -> Self:
        """Returns as many convolutions as there are steps between the widths."""
        convs = [nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)]
        _initialise(convs)
        return cls(convs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x))

    def hidden(self, x: Tensor) -> Tensor:
        """Returns the features that the last convolution takes, in the dtype of the weights."""
        return reduce(_conv_relu, self[:-1], self._entering(x))

    def last(self, features: Tensor) -> Tensor:
        output: Tensor = self[-1](features)
        return output.float()

    def peaks(self, x: Tensor) -> list[Tensor]:
        """Returns how large each feature becomes after each convolution but the last."""
        features = accumulate(self[:-1], _conv_relu, initial=self._entering(x))
        return [one.amax((0, 2, 3)).float() for one in islice(features, 1, None)]

    @property
    def inputs(self) -> int:
        """The first width."""
        return cast(nn.Conv2d, self[0]).in_channels

    def _entering(self, x: Tensor) -> Tensor:
        dtype = next(self.parameters()).dtype
        return x.to(dtype).contiguous(memory_format=torch.channels_last)


def _initialise(convs: list[nn.Conv2d]) -> None:
    """Start near the identity, which trains plain deep stacks as skips would, for free."""
    for conv in convs:
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type] # they all have one
    for conv in convs[1:-1]:
        nn.init.dirac_(conv.weight)
        conv.weight.data += 0.5 * nn.init.kaiming_normal_(torch.empty_like(conv.weight))
    convs[-1].weight.data *= 0.1


def _conv_relu(x: Tensor, conv: nn.Module) -> Tensor:
    """Convolution and ReLU; on a CPU in one pass, which saves a fifth of the network's time."""
    fusible = x.device.type == "cpu" and x.dtype in _FUSED_TYPES
    if torch.is_inference_mode_enabled() and fusible and _FUSED is not None:
        fused: Tensor = _FUSED(x, conv.weight, conv.bias, SAME, SAME, SAME, 1, "relu", [], "")
        return fused
    return F.relu(conv(x), inplace=True)


def _fused_types() -> set[torch.dtype]:
    """What the CPU has instructions for: oneDNN raises for any other."""
    has_bfloat16 = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return {torch.float32} | ({torch.bfloat16} if has_bfloat16 and has_bfloat16() else set())


_FUSED = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
_FUSED_TYPES = _fused_types()
