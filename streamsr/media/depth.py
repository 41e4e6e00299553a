"""How many bits a sample of what was decoded keeps: decided once, before it becomes a frame."""

import av

from streamsr.media.pixels import colour_of
from streamsr.media.tone_curve import HDR_TRANSFERS
from streamsr.media.tone_map import ToneMapper

__all__ = ["DepthConverter"]


class DepthConverter:
    """Makes one source's images what its frames are to hold: SDR where that is 8 bits."""

    def __init__(self) -> None:
        self._mapper = ToneMapper()

    def converted(self, image: av.VideoFrame) -> av.VideoFrame:
        """Returns the image, tone-mapped where it is HDR."""
        colour = colour_of(image)
        if colour.transfer in HDR_TRANSFERS:
            return self._mapper.mapped(image, colour)
        return image
