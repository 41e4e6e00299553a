"""``recurrent`` in 8-bit integers, for CPUs that have instructions for them.

It computes what ``recurrent.py`` defines: the last features and the inputs of the convolutions are
kept in 8 bits, sums in 32; the last output and the detail that is added to bicubic are float32. A
step can be made in strips of the image, side by side: each of them also computes the rows of its
neighbours that its result depends on.
"""

from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamsr.core.frame import Plane
from streamsr.networks.contract import Memory, RecurrentNetwork, Step
from streamsr.networks.flow import Flow, enlarged_flow, moved, sampled
from streamsr.networks.int8 import LEVELS, Balanced, PackedConv, hard_edges
from streamsr.networks.planes import Levels, enlarged_levels, rounded
from streamsr.networks.recurrent import MIDDLE, Recurrent

__all__ = ["AlignedPlanes", "Int8Recurrent"]

NO_DIFFERENCE = 128  # the level of a difference of 0
FINER = 2  # levels of a difference for one of luma: it is cut off beyond 64 levels
QUICK = 16  # features at once: others take OpenCV half as long again to move
LEAST_FRACTION = 0.01  # of a level: less is how floats are rounded
LEAST_ROWS = 32  # of a strip: less would be mostly its neighbours'


class AlignedPlanes(NamedTuple):
    """What the frames of a window say without any memory."""

    known: NDArray[np.uint8]  # (h + 2, w + 2, inputs), a border around it: what is convolved
    bicubic: Levels  # (sub * h, sub * w): the frame enlarged, not rounded: detail is added to it
    places: Flow  # (h, w, 2): where the last frame's features lie
    output_places: Flow  # (sub * h, sub * w, 2): where its output lies
    whole: bool  # the frame's luma is whole levels


class Int8Recurrent(RecurrentNetwork[AlignedPlanes]):
    """``network`` for inference on this machine's CPU alone: it has no parameters.

    A batch is one window. Its output is levels, uint8; of luma that is no whole levels, as frames
    of 10 bits have it, float32 in [0, 1].
    """

    def __init__(self, network: Recurrent) -> None:
        super().__init__()
        self.scale, self.fold, self.kept = network.scale, network.fold, network.kept
        self.sub = network.sub
        features = len(cast(Tensor, network.body[-2].bias))
        self._remembered = min(features, -(-self.kept // QUICK) * QUICK)  # some are not looked at
        stack = Balanced.of(network.body, _peaks(network))
        self._steps = stack.steps
        between = zip(stack.weights[1:-1], stack.biases[1:-1], self._steps, strict=False)
        self._hidden = [
            _entering(stack, network),
            *(PackedConv.of(*layer) for layer in between),
        ]
        weight, bias = stack.weights[-1] * LEVELS, stack.biases[-1] * LEVELS
        self._last = PackedConv.of(weight, bias, self._steps[-1])
        self._border = _border(network)

    def fresh(self, batch: int, height: int, width: int) -> Memory:
        output = (batch, 1, self.scale * height, self.scale * width)
        features = (batch, height // self.fold, width // self.fold, self._remembered)
        return (
            torch.zeros(output, dtype=torch.float32),
            torch.zeros(features, dtype=torch.uint8),
            torch.zeros(batch, dtype=torch.bool),
        )

    def align(self, window: Tensor, motion: Tensor) -> AlignedPlanes:
        before, luma = (one.numpy() * np.float32(LEVELS) for one in window[0, :, 0].float())
        flow: Flow = motion[0].permute(1, 2, 0).contiguous().numpy()
        there = moved(before, enlarged_flow(flow, self.fold), cv2.INTER_CUBIC)
        known = self._bordered(*flow.shape[:2])
        levels = rounded(luma.copy())
        frames = levels, _difference(there, luma)
        known[1:-1, 1:-1, : 2 * self.fold**2] = np.concatenate(
            [_folded(plane, self.fold) for plane in frames], 2
        )
        bicubic = enlarged_levels(luma, self.scale)
        output_places = _places(enlarged_flow(flow, self.sub))
        whole = cv2.norm(levels.astype(np.float32), luma, cv2.NORM_INF) < LEAST_FRACTION
        return AlignedPlanes(known, bicubic, _places(flow), output_places, whole)

    def advance(self, aligned: AlignedPlanes, memory: Memory) -> tuple[Tensor, Memory]:
        return self.step(aligned, memory, 1).run()

    def step(self, aligned: AlignedPlanes, memory: Memory, parts: int) -> Step:
        height, width = aligned.places.shape[:2]
        kept = np.empty((height, width, self._remembered), np.uint8)
        detail = np.empty(aligned.bicubic.shape, np.float32)
        strips = max(1, min(parts, height // LEAST_ROWS))
        ends = [height * n // strips for n in range(strips + 1)]
        work = [
            partial(self._strip, aligned, memory, detail, kept, slice(*rows))
            for rows in pairwise(ends)
        ]
        return Step(work, partial(self._finished, aligned, detail, kept))

    def _strip(
        self,
        aligned: AlignedPlanes,
        memory: Memory,
        detail: Levels,
        kept: NDArray[np.uint8],
        rows: slice,
    ) -> None:
        """Makes ``rows`` of the features that are kept, and the detail in them."""
        height, width = kept.shape[:2]
        reach = len(self._hidden)  # rows around them; the first layer has one more
        first, last = max(0, rows.start - reach), min(height, rows.stop + reach)
        self._remember(aligned, memory, slice(max(0, first - 1), min(height, last + 1)))
        inputs = torch.from_numpy(aligned.known[first : last + 2]).permute(2, 0, 1)[None]
        wanted, sub = slice(rows.start - first, rows.stop - first), self.sub
        with torch.inference_mode():
            features = inputs
            for layer, step in zip(self._hidden, self._steps, strict=True):
                features = layer(features, step)
            kept[rows] = _rows(features, wanted)[..., : self._remembered]
            values = _rows(self._last.values(features), wanted)
        run = np.dtype((np.void, sub * values.itemsize))  # samples of a line, moved at once
        lines = detail[rows.start * sub : rows.stop * sub].view(run).reshape(-1, sub, width)
        lines[:] = values.view(run).transpose(0, 2, 1)

    def _remember(self, aligned: AlignedPlanes, memory: Memory, rows: slice) -> None:
        """Writes rows of the last output less bicubic, and of the last features, where they belong
        now."""
        output, features, seen = (part[0].numpy() for part in memory)
        first, sub = 2 * self.fold**2, self.sub
        known = aligned.known[1:-1, 1:-1, first:][rows]
        if not seen:
            known[:] = self._border[first:]
            return
        lines = slice(rows.start * sub, rows.stop * sub)
        there = sampled(output[0], aligned.output_places[lines])
        known[..., : sub**2] = _folded(_difference(there, aligned.bicubic[lines]), sub)
        known[..., sub**2 :] = sampled(features, aligned.places[rows])[..., : self.kept]

    def _finished(
        self, aligned: AlignedPlanes, detail: Levels, kept: NDArray[np.uint8]
    ) -> tuple[Tensor, Memory]:
        detail -= np.float32(cv2.mean(detail)[0])
        cv2.add(aligned.bicubic, detail, dst=detail)
        if aligned.whole:
            output = torch.from_numpy(rounded(detail))[None, None]
        else:
            output = torch.from_numpy(detail)[None, None] / LEVELS
        exact = torch.from_numpy(detail)[None, None]  # rounding at every frame would add up
        return output, (exact, torch.from_numpy(kept)[None], torch.ones(1, dtype=torch.bool))

    def _bordered(self, height: int, width: int) -> NDArray[np.uint8]:
        """(height + 2, width + 2, inputs): the levels of nothing around what is yet to be known."""
        known = np.empty((height + 2, width + 2, len(self._border)), np.uint8)
        for edge in (known[0], known[-1], known[:, 0], known[:, -1]):
            edge[:] = self._border
        return known


def _folded(plane: Plane, fold: int) -> NDArray[np.uint8]:
    """(h, w) to (h / fold, w / fold, fold²)."""
    height, width = (side // fold for side in plane.shape)
    run = np.dtype((np.void, fold))  # samples of a line, moved at once
    lines = np.ascontiguousarray(plane).view(run).reshape(height, fold, width)
    return np.ascontiguousarray(lines.transpose(0, 2, 1)).view(np.uint8).reshape(height, width, -1)


def _places(flow: Flow) -> Flow:
    """Where each pixel lies that ``flow`` moves, across and down."""
    return cast(Flow, cv2.add(flow, _grid(*flow.shape[:2])))


@cache
def _grid(height: int, width: int) -> Flow:
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    return cast(Flow, places.astype(np.float32))


def _difference(plane: Levels, other: Levels) -> Plane:
    return cast(Plane, cv2.addWeighted(plane, FINER, other, -FINER, NO_DIFFERENCE, dtype=cv2.CV_8U))


def _rows(x: Tensor, rows: slice) -> NDArray[np.generic]:
    """(1, c, h, w) in ``channels_last`` to rows of (h, w, c)."""
    return x[0].permute(1, 2, 0).numpy()[rows]


def _border(network: Recurrent) -> NDArray[np.uint8]:
    """The levels of nothing, (inputs,): what a convolution finds outside of a frame."""
    frames, places = network.fold**2, network.sub**2
    middle = round(MIDDLE * LEVELS)
    levels = [middle] * frames + [NO_DIFFERENCE] * (frames + places) + [0] * network.kept
    return np.array(levels, np.uint8)


def _entering(stack: Balanced, network: Recurrent) -> PackedConv:
    """The first layer, which takes levels of several kinds: their steps go into its weights, and
    the levels of nothing into its bias."""
    frames, differences = network.fold**2, network.fold**2 + network.sub**2
    kept = stack.shares[-1][: network.kept] * stack.steps[-1]
    whole = [1 / LEVELS] * frames + [1 / LEVELS / FINER] * differences
    steps = torch.cat((torch.tensor(whole, dtype=torch.float32), kept))
    zeros = [MIDDLE * LEVELS] * frames + [NO_DIFFERENCE] * differences + [0] * network.kept
    weight = stack.weights[0] * steps[None, :, None, None]
    return PackedConv.of_levels(weight, stack.biases[0], torch.tensor(zeros, dtype=torch.float32))


def _peaks(network: Recurrent) -> list[Tensor]:
    """How large each feature becomes, after each convolution but the last, as hard edges move."""
    edges = hard_edges()
    size = edges.shape[2:]
    if any(side % network.fold for side in size):
        raise ValueError(f"fold: got {network.fold}, allowed is a divisor of {size}")
    memory = network.fresh(len(edges), *size)
    peaks = []
    with torch.inference_mode():
        for shift in (0, 1, 3):
            moved = torch.stack((edges.roll(shift // 2, 3), edges.roll(shift, 3)), 1)
            aligned = network.align(moved, network.motion(moved))
            peaks.append(network.body.peaks(network.known(aligned, memory)))
            _, memory = network.advance(aligned, memory)
    return [torch.stack(layer).amax(0) for layer in zip(*peaks, strict=True)]
