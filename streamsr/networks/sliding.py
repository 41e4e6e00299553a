"""A network of windows, driven one frame at a time: a ring of pixels, one slot a stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamsr.networks.contract import Facts, Finished
from streamsr.window import Window

__all__ = ["Ready", "SlidingWindow", "WindowState"]

Ready = tuple[int, Tensor]
"""A slot and a window of it to be run, (window, c, h, w)."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """The rings of a pool of streams, allocated once."""

    ring: Tensor  # (batch, window, c, h, w)
    windows: tuple[Window, ...]  # one a slot: which ring positions form its next windows

    def reset(self, slot: int) -> None:
        self.windows[slot].reset()


class SlidingWindow:
    """Streams ``network``, which maps (b, window, c, h, w) to (b, c, scale*h, scale*w).

    Feeding frames one by one gives what the network gives on the windows of the whole clip,
    borders mirrored as ``streamsr.window`` states. All windows that one step completes, of all
    its streams, run as one batch.
    """

    def __init__(self, network: nn.Module, facts: Facts) -> None:
        if facts.lookahead != facts.window // 2:
            raise ValueError(
                f"lookahead of a sliding window of {facts.window} frames: "
                f"got {facts.lookahead}, allowed is {facts.window // 2} (its reference is centred)"
            )
        self.network = network
        self.facts = facts

    def start(self, batch: int, height: int, width: int) -> WindowState:
        """Allocate the rings, in the dtype and on the device of the network's parameters."""
        for name, side in (("height", height), ("width", width)):
            if side < 1 or side % self.facts.multiple:
                raise ValueError(
                    f"{name}: got {side}, allowed is a multiple of {self.facts.multiple}"
                )
        like = next(self.network.parameters(), torch.empty(0))
        shape = (batch, self.facts.window, self.facts.colour.channels, height, width)
        return WindowState(
            ring=torch.zeros(shape, dtype=torch.float32, device=like.device),
            windows=tuple(Window(self.facts.window) for _ in range(batch)),
        )

    def push(
        self, frame: Tensor, state: WindowState, slots: Sequence[int] | None = None
    ) -> list[Ready]:
        """Take one frame of each slot, (n, c, h, w); give copies of the windows it completes."""
        slots = range(len(state.windows)) if slots is None else slots
        if len(frame) != len(slots):
            raise ValueError(f"frame: got {len(frame)} frames for {len(slots)} slots")
        ready = []
        for slot, pixels in zip(slots, frame, strict=True):
            position, windows = state.windows[slot].push()
            state.ring[slot, position].copy_(pixels)
            ready += [(slot, state.ring[slot, list(window)]) for window in windows]
        return ready

    def drain(self, state: WindowState, slot: int) -> list[Ready]:
        """End the slot's stream: give the windows of the frames that still wait for theirs."""
        return [(slot, state.ring[slot, list(w)]) for w in state.windows[slot].flush()]

    def run(self, ready: Sequence[Ready]) -> list[Finished]:
        """Run windows as one batch. Any thread may call it: the state is not touched."""
        if not ready:
            return []
        with torch.inference_mode():
            outputs = self.network(torch.stack([window for _, window in ready]))
        return [(slot, output) for (slot, _), output in zip(ready, outputs, strict=True)]

    def step(
        self, frame: Tensor, state: WindowState, slots: Sequence[int] | None = None
    ) -> tuple[list[Finished], WindowState]:
        """Push one frame of each slot; see :class:`~streamsr.networks.contract.StreamingModel`."""
        return self.run(self.push(frame, state, slots)), state

    def flush(self, state: WindowState, slot: int) -> list[Finished]:
        """Give the outputs the slot's stream still owes."""
        return self.run(self.drain(state, slot))
