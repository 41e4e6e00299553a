"""Windows of a ``StreamingNetwork``: frames that keep what was made of them, until none needs it.

Owns what is computed once and when it is forgotten. Which frames form a window, and which of them
can be aligned ahead, is ``networks/window.py``'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from streamsr.networks.contract import Rows, StreamingNetwork

__all__ = ["FrameArrival", "StreamedFrame", "StreamedWindow"]


@dataclass(slots=True, eq=False)
class StreamedFrame:
    """A frame of a stream, and what is known of it.

    Threads may ask side by side: what two of them make at once is the same.
    """

    number: int  # among those of its model
    pixels: Tensor  # (1, c, h, w)
    _features: Rows | None = None
    _reference: Rows | None = None
    _aligned: dict[int, Tensor] = field(default_factory=dict)  # to it, by the frame's number

    def features(self, network: StreamingNetwork) -> Rows:
        """Returns what every window needs of it."""
        if self._features is None:
            self._features = network.features(self.pixels)
        return self._features

    def aligned(self, network: StreamingNetwork, frame: "StreamedFrame") -> Tensor:
        """Returns ``frame`` aligned to this one: (1, ...)."""
        if frame.number not in self._aligned:
            if self._reference is None:
                self._reference = network.reference(self.features(network))
            features = frame.features(network)
            self._aligned[frame.number] = network.align(features, self._reference)
        return self._aligned[frame.number]

    def finish(self) -> None:
        """Forgets what only its own window needs."""
        self._reference = None
        self._aligned.clear()


@dataclass(frozen=True, slots=True, eq=False)
class FrameArrival:
    """What can be done once a frame is there, beside the windows that it completes."""

    network: StreamingNetwork
    frame: StreamedFrame
    pairs: Sequence[tuple[StreamedFrame, StreamedFrame]]  # a frame and its reference

    def begin(self) -> None:
        """Makes the frame's features."""
        self.frame.features(self.network)

    def align(self) -> None:
        """Aligns what windows that are still to come will need."""
        for frame, reference in self.pairs:
            reference.aligned(self.network, frame)


@dataclass(frozen=True, slots=True, eq=False)
class StreamedWindow:
    """A window whose frames are all there."""

    network: StreamingNetwork
    frames: Sequence[StreamedFrame]  # by place

    @property
    def reference(self) -> StreamedFrame:
        """The frame that the output is of."""
        return self.frames[self.network.centre]

    def run(self) -> Tensor:
        """Does what has not been done: returns the output (c, scale*h, scale*w)."""
        reference = self.reference
        aligned = [reference.aligned(self.network, frame) for frame in self.frames]
        output = self.network.restore(aligned, reference.pixels)[0]
        reference.finish()
        return output
