"""A network of windows, driven one frame at a time: a ring of pixels, one slot a stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamsr.networks.chain import ChainLink
from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.window import Window

__all__ = ["Finished", "Ready", "SlidingWindow", "WindowState"]

Finished = tuple[int, Tensor]
"""The slot an output belongs to, and the output: (c, scale*h, scale*w), float32, about [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A window to be run."""

    slot: int
    window: Tensor  # (window, c, h, w)
    link: ChainLink | None = None  # of a recurrent network


@dataclass(frozen=True, slots=True)
class WindowState:
    """The rings of a pool of streams, allocated once."""

    ring: Tensor  # (batch, window, c, h, w)
    windows: tuple[Window, ...]  # one a slot: which ring positions form its next windows
    links: list[ChainLink | None]  # one a slot: the newest window's, None before a stream's first


class SlidingWindow:
    """Streams ``network``, which maps (b, window, c, h, w) to (b, c, scale*h, scale*w).

    Feeding frames one by one gives what the network gives on the windows of the whole clip,
    borders mirrored as ``networks/window.py`` states. All windows that one step completes, of all
    its streams, run as one batch; those of a recurrent network one after the other.
    """

    def __init__(self, network: nn.Module, facts: Facts, precision: str = "float32") -> None:
        Window(facts.window, facts.lookahead)  # raises ValueError for what there cannot be
        self.network = network
        self.facts = facts
        self.precision = precision  # that the network computes in
        self.recurrent = isinstance(network, RecurrentNetwork)
        if self.recurrent and (facts.window, facts.colour) != (2, Colour.LUMA):
            raise ValueError(
                f"a recurrent network: got a window of {facts.window} frames of {facts.colour}, "
                f"allowed is one of 2 frames of {Colour.LUMA}"
            )

    def start(self, batch: int, height: int, width: int) -> WindowState:
        """Allocates the rings of ``batch`` streams, float32, on the device of the network."""
        for name, side in (("height", height), ("width", width)):
            if side < 1 or side % self.facts.multiple:
                raise ValueError(
                    f"{name}: got {side}, allowed is a multiple of {self.facts.multiple}"
                )
        like = next(self.network.parameters(), torch.empty(0))
        shape = (batch, self.facts.window, self.facts.colour.channels, height, width)
        return WindowState(
            ring=torch.zeros(shape, dtype=torch.float32, device=like.device),
            windows=tuple(Window(self.facts.window, self.facts.lookahead) for _ in range(batch)),
            links=[None] * batch,
        )

    def push(
        self, frame: Tensor, state: WindowState, slots: Sequence[int] | None = None
    ) -> list[Ready]:
        """Takes one frame of each slot, (n, c, h, w) float of ``Colour``'s range.

        Returns copies of the windows that they complete.
        """
        slots = range(len(state.windows)) if slots is None else slots
        if len(frame) != len(slots):
            raise ValueError(f"frame: got {len(frame)} frames for {len(slots)} slots")
        ready = []
        for slot, pixels in zip(slots, frame, strict=True):
            position, windows = state.windows[slot].push()
            state.ring[slot, position].copy_(pixels)
            ready += [self._ready(state, slot, window) for window in windows]
        return ready

    def drain(self, state: WindowState, slot: int) -> list[Ready]:
        """Ends the slot's stream: returns the windows of the frames that still wait for theirs."""
        ready = [self._ready(state, slot, window) for window in state.windows[slot].flush()]
        state.links[slot] = None
        return ready

    def run(self, ready: Sequence[Ready]) -> list[Finished]:
        """Runs windows, as one batch unless they are links of a chain, which must come in order.

        Any thread may call it: the state is not touched.
        """
        with torch.inference_mode():
            if self.recurrent:
                return [_run_link(one) for one in ready]
            if not ready:
                return []
            outputs = self.network(torch.stack([one.window for one in ready]))
        return [(one.slot, output) for one, output in zip(ready, outputs, strict=True)]

    def step(
        self, frame: Tensor, state: WindowState, slots: Sequence[int] | None = None
    ) -> tuple[list[Finished], WindowState]:
        """Pushes one frame of each slot; returns what that finishes, oldest first in each slot.

        An output belongs to the frame ``lookahead`` steps earlier; only a stream's first outputs
        wait longer, until the window is full, since their past is mirrored out of their future.
        """
        return self.run(self.push(frame, state, slots)), state

    def flush(self, state: WindowState, slot: int) -> list[Finished]:
        """Ends the slot's stream: returns the outputs it still owes, and frees the slot."""
        return self.run(self.drain(state, slot))

    def _ready(self, state: WindowState, slot: int, window: tuple[int, ...]) -> Ready:
        """A copy of a window, the link of its chain with it."""
        pixels = state.ring[slot, list(window)]
        if not isinstance(self.network, RecurrentNetwork):
            return Ready(slot, pixels)
        last = state.links[slot]
        height, width = pixels.shape[2:]
        link = last.next() if last else ChainLink.first(self.network, (height, width))
        state.links[slot] = link
        return Ready(slot, pixels, link)


def _run_link(ready: Ready) -> Finished:
    assert ready.link is not None  # every window of a recurrent network has one
    ready.link.align(ready.window)
    return ready.slot, ready.link.advance()
