"""A network over a sequence of frames: all windows at once, or one after the other with a memory.

Back-propagation through time is truncated (Williams and Peng, An Efficient Gradient-Based Algorithm
for On-Line Training of Recurrent Network Trajectories, 1990): every so many frames the memory goes
on without its gradient, so that a sequence of any length takes the room of a short one.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.facts import Facts

__all__ = ["Unrolled"]

Part = tuple[Tensor, slice]
"""Outputs of frames in a row, (b, frames, c, h, w) float32, and of which windows they are."""


@dataclass(frozen=True, slots=True)
class Unrolled:
    """``network`` on the windows of sequences of frames, ``truncate`` windows a part."""

    network: nn.Module
    facts: Facts
    truncate: int

    def parts(
        self, frames: Tensor, precision: Callable[[], AbstractContextManager[object]]
    ) -> Iterator[Part]:
        """Outputs of (b, n, c, h, w) frames, n - window + 1 in all. The gradient of one part must
        be taken before the next is asked for; the network runs within ``precision()``."""
        count = frames.shape[1] - self.facts.window + 1
        windows = [frames[:, first : first + self.facts.window] for first in range(count)]
        spans = [slice(n, min(n + self.truncate, count)) for n in range(0, count, self.truncate)]
        if not isinstance(self.network, RecurrentNetwork):
            for span in spans:
                with precision():
                    outputs = self.network(torch.cat(windows[span]))
                yield outputs.float().unflatten(0, (-1, len(frames))).transpose(0, 1), span
            return
        memory = self.network.fresh(len(frames), *frames.shape[3:])
        for span in spans:
            pictures = []
            for window in windows[span]:
                with precision():
                    picture, memory = self.network(window, memory)
                pictures.append(picture)
            yield torch.stack(pictures, 1), span
            memory = tuple(part.detach() for part in memory)
