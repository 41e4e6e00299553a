"""Colour conversion of frames: their planes to what a network reads, and back, on any device.

The arithmetic is ``planes.py``'s.
"""

import numpy as np
import torch
from torch import Tensor

from streamsr.core.frame import Frame, Plane
from streamsr.engine.planes import luma_levels, luma_of_rgb, network_pixels, picture_levels
from streamsr.engine.resample import plain_chroma
from streamsr.networks.facts import Colour

__all__ = ["luma_of_rgb", "network_input", "network_output"]


def network_input(frame: Frame, colour: Colour, device: torch.device) -> Tensor:
    """Give what a network reads of ``frame``: (1 or 3, h, w) float32, as ``Colour`` states."""
    return network_pixels(_planes(frame, device), frame.colour, colour)


def network_output(output: Tensor, frame: Frame, colour: Colour, scale: int) -> tuple[Plane, ...]:
    """Give the planes of ``frame`` upscaled, its colour description unchanged.

    ``output`` is what the network gave, (1 or 3, scale*h, scale*w). Under a luma network the
    chroma is scaled plainly, and R'G'B' changes by the luma's difference alone.
    """
    if colour is Colour.LUMA and not frame.is_rgb:
        return _rounded(luma_levels(output, frame.colour)), *plain_chroma(frame, scale)
    source = _planes(frame, output.device)
    levels = picture_levels(output, source, frame.colour, colour, scale)
    return tuple(map(_rounded, levels))


def _planes(frame: Frame, device: torch.device) -> tuple[Tensor, ...]:
    """The planes as tensors, uint8; on a CPU they may be the decoder's memory."""
    return tuple(torch.from_numpy(np.ascontiguousarray(p)).to(device) for p in frame.planes)


def _rounded(levels: Tensor) -> Plane:
    """8-bit samples of ``levels``, which are used up."""
    plane: Plane = levels.round_().clamp_(0, 255).to(torch.uint8).cpu().numpy()
    return plane
