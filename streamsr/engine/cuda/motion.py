"""What moved between the frames of a stream: found on the host as they come, for the device."""

import cv2
import numpy as np
from torch import nn

from streamsr.core.frame import Frame, Plane
from streamsr.engine.colour import luma_plane
from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.flow import Flow

__all__ = ["MotionFinder"]

NONE: Flow = np.empty((0, 0, 2), np.float32)


class MotionFinder:
    """Takes the frames of a stream in order, all of one layout.

    Gives what ``network`` aligns a window by, its ``motion_of_planes``, of ``shape``; (0, 0, 2)
    where it is not recurrent. ``size`` is the height and width of what the network reads: a frame
    is padded to it as ``Converter.read`` pads it.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        self._network = network if isinstance(network, RecurrentNetwork) else None
        self._size = size
        self._luma: Plane | None = None  # of the newest frame
        fold = self._network.fold if self._network else 0
        self.shape = (size[0] // fold, size[1] // fold, 2) if fold else NONE.shape

    def of(self, frame: Frame, *, starts_chain: bool) -> Flow:
        """Returns what moved from the frame before to this one, which may be the first."""
        if self._network is None:
            return NONE
        luma = self._padded(luma_plane(frame))
        before = luma if starts_chain or self._luma is None else self._luma
        self._luma = luma
        return self._network.motion_of_planes(luma, before)

    def _padded(self, luma: Plane) -> Plane:
        down, across = (whole - side for whole, side in zip(self._size, luma.shape, strict=True))
        if not down and not across:
            return luma
        return cv2.copyMakeBorder(  # type: ignore[return-value] # uint8
            luma, 0, down, 0, across, cv2.BORDER_REPLICATE
        )
