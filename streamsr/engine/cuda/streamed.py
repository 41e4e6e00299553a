"""A ``StreamingNetwork``'s windows of one shape, out of the rings of their streams, as graphs.

Owns the parts of the network and the order in which they run: features of the frames that came,
references, the alignments that are missing as one batch, what remains. Everything here is called
in the work of one CUDA stream.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from streamsr.engine.cuda.device import Device
from streamsr.engine.cuda.ring import Ring, RowShapes
from streamsr.engine.cuda.row_graphs import RowGraphs
from streamsr.networks.contract import Rows, StreamingNetwork

__all__ = ["RingWindow", "StreamedRuns"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class RingWindow:
    """A window of one stream, whose frames lie in its ring of pixels."""

    ring: Ring
    pixels: Tensor  # (window, c, h, w), by the frames' numbers
    frames: tuple[int, ...]  # numbers, by place in the window
    first: int  # the oldest frame that has to do with the newest one
    newest: int

    centre: int  # the place of the reference

    @property
    def reference(self) -> int:
        """The frame that the output is of."""
        return self.frames[self.centre]

    def pixels_of(self, frame: int) -> Tensor:
        return self.pixels[frame % len(self.pixels)]


Pair = tuple[RingWindow, int, int]
"""A frame of a stream, and the reference that it is to be aligned to."""


class StreamedRuns:
    """Runs ``network`` on windows of streams, at most ``rows`` of them as one batch.

    ``like`` is a ring of pixels (window, c, h, w), and holds frames. ``sized`` makes the results of
    what the network gives. The constructor raises torch.OutOfMemoryError.
    """

    def __init__(
        self,
        network: StreamingNetwork,
        sized: Callable[[Tensor], Tensor],
        device: Device,
        rows: int,
        like: Tensor,
    ) -> None:
        self.centre = network.centre
        self._network = network
        self._device = device
        self._window = len(like)
        self._ahead = self._window - 1 - self.centre  # frames of a window after its reference
        like = like[:1]
        self._kept = kept = _rows_like(network, like)

        def features(given: Rows) -> Rows:
            return network.features(*given)

        def align(given: Rows) -> Rows:
            frames = given[: len(kept.features)]
            return (network.align(frames, given[len(frames) :]),)

        def rest(given: Rows) -> Rows:
            *aligned, pixels = given
            return (sized(network.restore(aligned, pixels).float()),)

        whole = [kept.aligned] * self._window
        self._features = RowGraphs(device, features, rows, [like])
        self._references = RowGraphs(device, network.reference, rows, kept.features)
        self._alignments = RowGraphs(device, align, self._window, [*kept.features, *kept.reference])
        self._rest = RowGraphs(device, rest, rows, [*whole, like])

    def ring(self) -> Ring:
        """Allocates a stream's ring. Raises torch.OutOfMemoryError."""
        return Ring(self._device, self._kept, self._window, self._ahead + 1)

    def run(self, windows: Sequence[RingWindow]) -> Tensor:
        """Returns the outputs of windows, each of another stream: (b, c, height, width) float32.

        They hold until anything is run next. What was made already is used, and what is made is
        kept. Raises torch.OutOfMemoryError: then the windows may be run again.
        """
        pairs = [(window, frame, window.reference) for window in windows for frame in window.frames]
        self._make(pairs)
        rows = []
        for window in windows:
            aligned = [window.ring.aligned(frame, window.reference) for frame in window.frames]
            rows.append([*aligned, window.pixels_of(window.reference)])
        (outputs,) = self._rest.run(rows)
        for window in windows:
            window.ring.close(window.reference)
        return outputs

    def ahead(self, windows: Sequence[RingWindow]) -> None:
        """Aligns what the next windows of the streams need and can be: after ``run``.

        Raises torch.OutOfMemoryError.
        """
        self._make([pair for window in windows for pair in self._ahead_of(window)])

    def _ahead_of(self, window: RingWindow) -> list[Pair]:
        room = window.ring.room
        known = range(max(window.first, window.newest + 1 - self._window), window.newest + 1)
        references = range(window.reference + 1, window.newest + 1)
        opened = [reference for reference in references if window.ring.is_open(reference)]
        opened += [reference for reference in references if reference not in opened][:room]
        return [
            (window, frame, reference)
            for reference in opened
            for frame in known
            if reference - self.centre <= frame <= reference + self._ahead
        ]

    def _make(self, pairs: Sequence[Pair]) -> None:
        """Makes what is missing for the frames of ``pairs`` to be aligned to their references."""
        self._make_features(dict.fromkeys((w, one) for w, *both in pairs for one in both))
        self._make_references(dict.fromkeys((w, reference) for w, _, reference in pairs))
        wanted = [
            (window, frame, reference)
            for window, frame, reference in dict.fromkeys(pairs)
            if not window.ring.is_aligned(frame, reference)
        ]
        for batch in _batches(wanted, self._alignments.most):
            rows = [
                [*window.ring.features(frame), *window.ring.reference(reference)]
                for window, frame, reference in batch
            ]
            (made,) = self._alignments.run(rows)
            for (window, frame, reference), aligned in zip(batch, made, strict=True):
                window.ring.keep_aligned(frame, reference, aligned)

    def _make_features(self, frames: Iterable[tuple[RingWindow, int]]) -> None:
        wanted = [
            (window, frame) for window, frame in frames if not window.ring.has_features(frame)
        ]
        for batch in _batches(wanted, self._features.most):
            made = self._features.run([[window.pixels_of(frame)] for window, frame in batch])
            for (window, frame), *row in zip(batch, *made, strict=True):
                window.ring.keep_features(frame, row)

    def _make_references(self, references: Iterable[tuple[RingWindow, int]]) -> None:
        wanted = [(window, frame) for window, frame in references if not window.ring.is_open(frame)]
        for batch in _batches(wanted, self._references.most):
            made = self._references.run([window.ring.features(frame) for window, frame in batch])
            for (window, frame), *row in zip(batch, *made, strict=True):
                window.ring.open(frame, row)


def _batches(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _rows_like(network: StreamingNetwork, pixels: Tensor) -> RowShapes:
    """What the network makes of a frame (1, c, h, w), to allocate by."""
    features = network.features(pixels)
    reference = network.reference(features)
    return RowShapes(features, reference, network.align(features, reference))
