"""``fast``: luma super-resolution for a CPU, plain 3x3 convolutions at the input's size.

One frame in, or a few as they are, sub-pixel convolution out (Shi et al., Real-Time Single Image
and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, 2016), and a
bicubic skip, so that the network only learns what bicubic misses.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamsr.networks.convolutions import Convolutions
from streamsr.networks.int8 import Int8Convolutions
from streamsr.networks.planes import enlarged_levels
from streamsr.networks.resample import enlarged, resize, unshuffled

__all__ = ["Fast"]


class Fast(nn.Module):
    """(b, window, 1, h, w) luma in [0, 1] to (b, 1, scale*h, scale*w).

    What comes out belongs to the frame that ``lookahead`` others follow in the window. With
    ``keep_mean`` its mean is that of bicubic, whatever the network believes a camera's
    encoder to have done to it.

    The skip is always float32, since bfloat16 holds a luma level only to half a step.
    """

    def __init__(
        self,
        features: int = 32,
        layers: int = 10,
        scale: int = 4,
        window: int = 1,
        lookahead: int = 0,
        keep_mean: bool = False,
        fold: int = 1,
    ) -> None:
        super().__init__()
        if not 0 <= lookahead < window:
            raise ValueError(f"lookahead: got {lookahead}, allowed is 0 to {window - 1}")
        if scale < 1 or fold < 1:
            raise ValueError(f"scale, fold: got {scale}, {fold}, allowed is 1 or more")
        self.scale, self.fold = scale, fold
        self.keep_mean = keep_mean
        self.reference = window - 1 - lookahead
        self.inputs = window * fold**2
        self.body: Convolutions | Int8Convolutions = Convolutions.of(
            [self.inputs, *[features] * (layers - 1), (scale * fold) ** 2]
        )

    def quantise(self) -> None:
        """Convolves in 8-bit integers from now on: see ``Int8Convolutions``.

        For inference on this CPU alone, with a window of one frame.
        """
        assert isinstance(self.body, Convolutions)
        self.body = Int8Convolutions(self.body)

    def forward(self, x: Tensor) -> Tensor:
        frame = x[:, self.reference]
        detail: Tensor = self.body(F.pixel_unshuffle(x[:, :, 0], self.fold))
        if self.keep_mean:
            detail -= detail.mean((1, 2, 3), keepdim=True)
        # under autocast the skip's weights would be rounded and not sum to 1: training would make
        # up for that, and shift every frame by a third of a level where the skip is exact
        with torch.autocast(frame.device.type, enabled=False):
            if self.fold == 1:
                skip = enlarged(frame.float(), self.scale)
                return unshuffled(detail.add_(skip), self.scale)
            return unshuffled(detail, self.scale * self.fold).add_(self._plain(frame.float()))

    def _plain(self, frame: Tensor) -> Tensor:
        """(b, 1, h, w) to (b, 1, scale*h, scale*w): bicubic, in half the time where the network
        runs on this CPU alone."""
        if isinstance(self.body, Convolutions):
            return resize(frame, self.scale)
        planes = [enlarged_levels(one, self.scale) for one in frame[:, 0].numpy()]
        return torch.from_numpy(np.stack(planes)[:, None])
