"""Windows of a ``StreamingNetwork``: frames that keep what was made of them, until none needs it.

Owns what is computed once and when it is forgotten. Which frames form a window, and which of them
can be aligned ahead, is ``networks/window.py``'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from streamsr.networks.contract import Rows, StreamingNetwork
from streamsr.networks.tiles import Tile

__all__ = ["FrameArrival", "Pair", "StreamedFrame", "StreamedWindow", "align"]

BATCH_PX = 1 << 14  # of small frames in one batch: alone they would not fill a core's vectors


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

    def reference(self, network: StreamingNetwork) -> Rows:
        """Returns what its own window needs of it besides."""
        if self._reference is None:
            self._reference = network.reference(self.features(network))
        return self._reference

    def part(self, tile: Tile) -> "StreamedFrame":
        """Returns what a tile reads of it, of which nothing is known."""
        rows, columns = tile.read
        return StreamedFrame(self.number, self.pixels[..., rows, columns].contiguous())

    def aligned(self, network: StreamingNetwork, frame: "StreamedFrame") -> Tensor:
        """Returns ``frame`` aligned to this one: (1, ...)."""
        align(network, [(frame, self)])
        return self._aligned[frame.number]

    def has_aligned(self, frame: "StreamedFrame") -> bool:
        return frame.number in self._aligned

    def keep_aligned(self, frame: "StreamedFrame", aligned: Tensor) -> None:
        self._aligned[frame.number] = aligned

    def finish(self) -> None:
        """Forgets what only its own window needs."""
        self._reference = None
        self._aligned.clear()


Pair = tuple[StreamedFrame, StreamedFrame]
"""A frame, and the reference that it is aligned to."""


def align(network: StreamingNetwork, pairs: Sequence[Pair]) -> None:
    """Aligns what is not yet: small frames as one batch, large ones alone."""
    missing = [pair for pair in dict.fromkeys(pairs) if not pair[1].has_aligned(pair[0])]
    if not missing:
        return
    height, width = missing[0][0].pixels.shape[2:]
    size = max(1, BATCH_PX // (height * width))
    for first in range(0, len(missing), size):
        batch = missing[first : first + size]
        features = _rows([frame.features(network) for frame, _ in batch])
        references = _rows([reference.reference(network) for _, reference in batch])
        aligned = torch.split(network.align(features, references), 1)
        for (frame, reference), made in zip(batch, aligned, strict=True):
            reference.keep_aligned(frame, made)


def _rows(frames: Sequence[Rows]) -> Rows:
    """Rows of several frames as those of a batch."""
    return frames[0] if len(frames) == 1 else tuple(map(torch.cat, zip(*frames, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class FrameArrival:
    """What can be done once a frame is there, beside the windows that it completes."""

    network: StreamingNetwork
    frame: StreamedFrame
    pairs: Sequence[Pair]

    def begin(self) -> None:
        """Makes the frame's features."""
        self.frame.features(self.network)

    def align(self) -> None:
        """Aligns what windows that are still to come will need."""
        align(self.network, self.pairs)


@dataclass(frozen=True, slots=True, eq=False)
class StreamedWindow:
    """A window whose frames are all there."""

    network: StreamingNetwork
    frames: Sequence[StreamedFrame]  # by place
    tiles: Sequence[Tile] = ()  # parts of a frame that it is made in, nothing kept; (): whole

    @property
    def pairs(self) -> list[Pair]:
        """What has to be aligned for it, each once."""
        return [(frame, self.reference) for frame in dict.fromkeys(self.frames)]

    @property
    def reference(self) -> StreamedFrame:
        """The frame that the output is of."""
        return self.frames[self.network.centre]

    def run(self) -> Tensor:
        """Does what has not been done: returns the output (c, scale*h, scale*w)."""
        if self.tiles:
            return self._tiled()
        reference = self.reference
        align(self.network, self.pairs)
        aligned = [reference.aligned(self.network, frame) for frame in self.frames]
        output = self.network.restore(aligned, reference.pixels)[0]
        reference.finish()
        return output

    def _tiled(self) -> Tensor:
        channels, height, width = self.reference.pixels.shape[1:]
        output = torch.empty(0)
        for number, tile in enumerate(self.tiles):
            made = self._restored(tile)
            scale = made.shape[1] // tile.height
            if number == 0:
                output = made.new_empty(channels, scale * height, scale * width)
            tile.copy(made, output, scale)
        return output

    def _restored(self, tile: Tile) -> Tensor:
        """The output of a tile: it holds features of one frame at a time beside the reference's."""
        network = self.network
        reference = self.reference.part(tile)
        ours = reference.features(network)
        theirs = reference.reference(network)
        for frame, _ in self.pairs:
            features = ours if frame is self.reference else frame.part(tile).features(network)
            reference.keep_aligned(frame, network.align(features, theirs))
        aligned = [reference.aligned(network, frame) for frame in self.frames]
        return network.restore(aligned, reference.pixels)[0]
