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
from streamsr.networks.flow import sampling_grid
from streamsr.networks.resample import folded_enlarged, unshuffled

__all__ = ["MIDDLE", "Aligned", "Recurrent"]

MIDDLE = 0.5  # of luma in [0, 1], which is taken from the frame


class Aligned(NamedTuple):
    """What the frames of a window say without any memory: as much as can be done before it.

    ``fold`` pixels a side of a frame, and ``sub = scale * fold`` of an output, lie in one place of
    (h / fold, w / fold).
    """

    frames: Tensor  # (b, 2 * fold², ...): the frame, and how the last one differs, moved to fit
    bicubic: Tensor  # (b, sub², ...): it enlarged, every output pixel a channel
    grid: Tensor  # (b, h / fold, w / fold, 2): where the last frame's features lie
    output_grid: Tensor  # (b, sub² * h / fold, w / fold, 2): where its output lies, place by place


class Recurrent(RecurrentNetwork[Aligned]):
    """(b, 2, 1, h, w) luma in [0, 1] and a memory to (b, 1, scale*h, scale*w) and the next memory:
    the output, (b, kept, h / fold, w / fold) features and whether there was a frame.

    The window is the last frame and the frame. ``narrow`` is the width of every second layer. With
    ``fold`` the convolutions work on so many pixels a side at once (space-to-depth), so that their
    cost follows the output's pixels. The mean of the output is that of bicubic, so that nothing it
    feeds back can drift.
    """

    def __init__(
        self,
        features: int = 64,
        layers: int = 6,
        kept: int = 16,
        scale: int = 4,
        fold: int = 1,
        narrow: int | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (("layers", layers, 2), ("scale", scale, 1), ("fold", fold, 1)):
            if value < least:
                raise ValueError(f"{name}: got {value}, allowed is {least} or more")
        if not 1 <= kept <= features:
            raise ValueError(f"kept: got {kept}, allowed is 1 to {features}, the features")
        self.scale, self.fold, self.kept = scale, fold, kept
        self.sub = scale * fold
        inputs = 2 * fold**2 + self.sub**2 + kept
        hidden = [narrow or features if n % 2 else features for n in range(layers - 2)]
        self.body = Convolutions.of([inputs, *hidden, features, self.sub**2])

    def fresh(self, batch: int, height: int, width: int) -> Memory:
        device, scale, fold = next(self.parameters()).device, self.scale, self.fold
        shapes = (
            (batch, 1, scale * height, scale * width),
            (batch, self.kept, height // fold, width // fold),
            (batch, 1, 1, 1),
        )
        output, kept, is_known = (
            torch.zeros(shape, dtype=torch.float32, device=device) for shape in shapes
        )
        return output, kept, is_known

    def align(self, window: Tensor, motion: Tensor) -> Aligned:
        before, frame = window.float().unbind(1)
        with torch.autocast(frame.device.type, enabled=False):
            folded = F.pixel_unshuffle(frame, self.fold)
            there = _sampled(before, sampling_grid(motion, self.fold), "bicubic")
            frames = torch.cat((folded - MIDDLE, there.view_as(folded) - folded), 1)
            bicubic = folded_enlarged(frame, self.scale, self.fold)
            output_grid = sampling_grid(motion, self.sub)
            return Aligned(frames, bicubic, sampling_grid(motion), output_grid)

    def advance(self, aligned: Aligned, memory: Memory) -> tuple[Tensor, Memory]:
        features = self.body.hidden(self.known(aligned, memory))
        detail = self.body.last(features)
        detail -= detail.mean((1, 2, 3), keepdim=True)
        output = unshuffled(detail.add_(aligned.bicubic), self.sub)
        kept = features[:, : self.kept].to(torch.float32, copy=True)  # of all, the rest may go
        return output, (output, kept, torch.ones_like(memory[2]))

    def known(self, aligned: Aligned, memory: Memory) -> Tensor:
        """Returns what is convolved: the frames, the last output and the last features."""
        return torch.cat((aligned.frames, *self._remembered(aligned, memory)), 1)

    def _remembered(self, aligned: Aligned, memory: Memory) -> tuple[Tensor, Tensor]:
        """The last output less bicubic, and the last features, where they belong now."""
        output, features, seen = memory
        with torch.autocast(output.device.type, enabled=False):
            there = _sampled(output, aligned.output_grid).view_as(aligned.bicubic)
            return there.sub_(aligned.bicubic).mul_(seen), _sampled(features, aligned.grid)


def _sampled(x: Tensor, grid: Tensor, mode: str = "bilinear") -> Tensor:
    return F.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False)
