"""``recurrent``: luma super-resolution that builds on its own last output, for a CPU and a GPU.

The last output and some features are moved along the optical flow to where they belong now, and
plain convolutions at the input's size make the next output of them and of the new frame (Sajjadi
et al., Frame-Recurrent Video Super-Resolution, 2018). What frames show between one another's
pixels so adds up, at the cost of one frame.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.networks.contract import Memory, RecurrentNetwork
from streamsr.networks.convolutions import Convolutions
from streamsr.networks.flow import optical_flow, sampling_grid, warped
from streamsr.networks.resample import enlarged, unshuffled

__all__ = ["MIDDLE", "Aligned", "Recurrent"]

MIDDLE = 0.5  # of luma in [0, 1], which is taken from the frame


class Aligned(NamedTuple):
    """What the frames of a window say without any memory: as much as can be done before it."""

    frames: Tensor  # (b, 2, h, w): the frame, and how the last one differs, moved to fit
    bicubic: Tensor  # (b, scale², h, w): it enlarged, every output pixel a channel
    grid: Tensor  # (b, h, w, 2): where the last frame's features lie
    output_grid: Tensor  # (b, scale² * h, w, 2): where its output lies, place by place


class Recurrent(RecurrentNetwork[Aligned]):
    """(b, 2, 1, h, w) luma in [0, 1] and a memory to (b, 1, scale*h, scale*w) and the next memory:
    the output, (b, kept, h, w) features and whether there was a frame.

    The window is the last frame and the frame. The mean of the output is that of bicubic, so
    that nothing it feeds back can drift.
    """

    def __init__(self, features: int = 64, layers: int = 6, kept: int = 16, scale: int = 4) -> None:
        super().__init__()
        if layers < 2 or scale < 1:
            raise ValueError(f"layers, scale: got {layers}, {scale}, allowed are 2, 1 and more")
        if not 1 <= kept <= features:
            raise ValueError(f"kept: got {kept}, allowed is 1 to {features}, the features")
        self.scale = scale
        self.kept = kept
        inputs = 2 + scale * scale + kept
        self.body = Convolutions.of([inputs, *[features] * (layers - 1), scale * scale])

    def fresh(self, batch: int, height: int, width: int) -> Memory:
        device, scale = next(self.parameters()).device, self.scale
        return (
            torch.zeros(batch, 1, scale * height, scale * width, device=device),
            torch.zeros(batch, self.kept, height, width, device=device),
            torch.zeros(batch, 1, 1, 1, device=device),
        )

    def align(self, window: Tensor) -> Aligned:
        before, frame = window.float().unbind(1)
        flow = optical_flow(frame, before)
        with torch.autocast(frame.device.type, enabled=False):
            frames = torch.cat((frame - MIDDLE, warped(before, flow, "bicubic") - frame), 1)
            bicubic = enlarged(frame, self.scale)
            return Aligned(frames, bicubic, sampling_grid(flow), sampling_grid(flow, self.scale))

    def advance(self, aligned: Aligned, memory: Memory) -> tuple[Tensor, Memory]:
        known = torch.cat((aligned.frames, *self._remembered(aligned, memory)), 1)
        features = self.body.hidden(known)
        detail = self.body.last(features)
        detail -= detail.mean((1, 2, 3), keepdim=True)
        output = unshuffled(detail.add_(aligned.bicubic), self.scale)
        kept = features[:, : self.kept].to(torch.float32, copy=True)  # of all, the rest may go
        return output, (output, kept, torch.ones_like(memory[2]))

    def _remembered(self, aligned: Aligned, memory: Memory) -> tuple[Tensor, Tensor]:
        """The last output less bicubic, and the last features, where they belong now."""
        output, features, seen = memory
        with torch.autocast(output.device.type, enabled=False):
            there = _sampled(output, aligned.output_grid).view_as(aligned.bicubic)
            return there.sub_(aligned.bicubic).mul_(seen), _sampled(features, aligned.grid)


def _sampled(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
