"""What a source, a sink and a network of one's own must do, as types to check against."""

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

from streamsr.core.packet import Packet

if TYPE_CHECKING:  # who reads a source needs none
    from torch import Tensor

__all__ = [
    "EncodedSink",
    "Image",
    "ImageSink",
    "Network",
    "Sink",
    "SinkFactory",
    "Source",
    "SourceFactory",
    "SourceItem",
]

Image: TypeAlias = NDArray[np.uint8]
"""R'G'B' of full range: (h, w, 3) uint8, red first, the first row on top."""

SourceItem: TypeAlias = Image | tuple[Image, float] | av.VideoFrame
"""One frame of a source: an image, or (h, w) of grey; one with its time in seconds; or PyAV's, in
any pixel format."""


class Source(Protocol):
    """Frames of one's own, which an address of its scheme names, as ``mysensor://room/2``.

    Frames may change their size. They are copied, so that a source may write the next one over the
    last. There is no audio. The time of an image without one is its number / ``rate``; of a live
    source, when it came. A time that is not later than the one before it is a fault.
    """

    @property
    def rate(self) -> float:
        """Nominal frames a second, 0.01 to 240."""

    @property
    def live(self) -> bool:
        """Whether it cannot wait: frames are dropped where the device is slower, and where it ends
        or fails it is made again, after a pause, until the stream is stopped."""

    def frames(self, stop: threading.Event) -> Iterator[SourceItem]:
        """Yields frames until there are no more, or soon after ``stop`` is set.

        One thread of the stream calls it, once. Where it returns or is closed (GeneratorExit),
        it frees what it holds. InputError, or SourceError of a live one, is told as it is.
        """


class ImageSink(Protocol):
    """Takes upscaled frames as arrays, all in the thread that encodes: what is slow delays it.

    It raises OutputError where it fails: it is closed and left out while other outputs remain.
    """

    def write(self, image: Image, time_s: float) -> None:
        """Takes a frame, which is the sink's own, and its time in seconds of the stream."""

    def close(self) -> None:
        """Ends it. It is called once, whatever happened before."""


class EncodedSink(Protocol):
    """Takes encoded packets, as servers get them: H.264 without B-frames, and AAC.

    A sink may be an ImageSink at once. It raises OutputError as that does.
    """

    def packet(self, packet: Packet) -> None:
        """Takes a packet of ``Track.OUTPUT``, the first a keyframe, or of ``Track.AAC``."""

    def close(self) -> None:
        """Ends it. It is called once, whatever happened before."""


Sink: TypeAlias = ImageSink | EncodedSink


class Network(Protocol):
    """A ``torch.nn.Module`` that maps windows of frames to upscaled frames.

    R'G'B' in [0, 1] is three channels; luma is one, Y' of limited range, black 16/255 and white
    235/255: its card says which it takes (``facts.colour``). One with a memory is a
    ``RecurrentNetwork`` instead. It runs in several threads at once, without a gradient, and may
    not change itself.
    """

    def forward(self, window: "Tensor", /) -> "Tensor":
        """Returns (b, c, scale·h, scale·w) of (b, window, c, h, w), both float32."""


SourceFactory: TypeAlias = Callable[[str], Source]
"""Makes a source of its whole address. What it raises but InputError is told as a fault."""

SinkFactory: TypeAlias = Callable[[str], Sink]
"""Makes a sink of its whole address, likewise; OutputError."""
