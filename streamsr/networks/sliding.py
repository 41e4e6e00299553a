"""A network of windows, driven one frame at a time: a ring of pixels, one slot a stream."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn

from streamsr.networks.chain import ChainLink
from streamsr.networks.contract import Memory, RecurrentNetwork, StreamingNetwork
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.streamed import FrameArrival, StreamedFrame, StreamedWindow
from streamsr.networks.window import Window

__all__ = ["Finished", "Ready", "SlidingWindow", "WindowState"]

LARGE_PX = 1 << 17  # of a frame: the first windows of larger ones are not worked on side by side

Finished = tuple[int, Tensor]
"""The slot an output belongs to, and the output: (c, scale*h, scale*w), float32, about [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A window to be run."""

    slot: int
    window: Tensor | StreamedWindow  # (window, c, h, w), or what is known of its frames
    link: ChainLink | None = None  # of a recurrent network

    @property
    def pixels(self) -> Tensor:
        """The frames of a window of which nothing else is known: (window, c, h, w)."""
        assert isinstance(self.window, Tensor)  # no streaming network asks for them
        return self.window


@dataclass(frozen=True, slots=True)
class WindowState:
    """The rings of a pool of streams, allocated once."""

    ring: Tensor  # (batch, window, c, h, w); no batch of a streaming network
    windows: tuple[Window, ...]  # one a slot: which ring positions form its next windows
    links: list[ChainLink | None]  # one a slot: the newest window's, None before a stream's first
    streamed: tuple[dict[int, StreamedFrame], ...]  # of a streaming network, the ring: one a slot


class SlidingWindow:
    """Streams ``network``, which maps (b, window, c, h, w) to (b, c, scale*h, scale*w).

    Feeding frames one by one gives what the network gives on the windows of the whole clip,
    borders mirrored as ``networks/window.py`` states. All windows that one step completes, of all
    its streams, run as one batch; those of a recurrent network one after the other, and those of a
    streaming one too, which share what was made of their frames.
    """

    def __init__(self, network: nn.Module, facts: Facts, precision: str = "float32") -> None:
        Window(facts.window, facts.lookahead)  # raises ValueError for what there cannot be
        self.network = network
        self.facts = facts
        self.precision = precision  # that the network computes in
        self._numbers = count()  # of streamed frames
        self.recurrent = isinstance(network, RecurrentNetwork)
        self.streaming = (
            isinstance(network, StreamingNetwork)
            and network.centre == facts.window - 1 - facts.lookahead
        )
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
        rings = 0 if self.streaming else batch
        shape = (rings, self.facts.window, self.facts.colour.channels, height, width)
        return WindowState(
            ring=torch.zeros(shape, dtype=torch.float32, device=like.device),
            windows=tuple(Window(self.facts.window, self.facts.lookahead) for _ in range(batch)),
            links=[None] * batch,
            streamed=tuple({} for _ in range(batch)),
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
            if self.streaming:
                kept = pixels.float()[None].clone()
                state.streamed[slot][position] = StreamedFrame(next(self._numbers), kept)
            else:
                state.ring[slot, position].copy_(pixels)
            ready += [self._ready(state, slot, window) for window in windows]
        return ready

    def drain(self, state: WindowState, slot: int) -> list[Ready]:
        """Ends the slot's stream: returns the windows of the frames that still wait for theirs."""
        ready = [self._ready(state, slot, window) for window in state.windows[slot].flush()]
        state.links[slot] = None
        state.streamed[slot].clear()
        return ready

    def arrival(self, state: WindowState, slot: int) -> FrameArrival | None:
        """Returns what can be done of the newest frame of a slot, once it was pushed.

        None where the stream is at its end, and where the network has nothing to do before a window
        is complete. Windows do themselves what was not done of it.
        """
        if not state.streamed[slot]:
            return None
        assert isinstance(self.network, StreamingNetwork)
        frames, window = state.streamed[slot], state.windows[slot]
        newest = frames[window.newest]
        ahead = window.ahead(at_once=newest.pixels[0, 0].numel() <= LARGE_PX)
        pairs = [(frames[frame], frames[reference]) for frame, reference in ahead]
        return FrameArrival(self.network, newest, pairs)

    def memory(self, state: WindowState, slot: int) -> Future[Memory] | None:
        """Returns what the slot's newest window leaves to the next; None where that is nothing."""
        link = state.links[slot]
        return None if link is None else link.after

    def restore(self, state: WindowState, slot: int, memory: Memory) -> None:
        """Makes the slot's next window go on from ``memory``, which an equal model left."""
        if isinstance(self.network, RecurrentNetwork):
            height, width = state.ring.shape[3:]
            state.links[slot] = ChainLink.passed(self.network, (height, width), memory)

    def run(self, ready: Sequence[Ready]) -> list[Finished]:
        """Runs windows, as one batch unless they are links of a chain, which must come in order.

        Any thread may call it: the state is not touched.
        """
        with torch.inference_mode():
            if self.recurrent:
                return [_run_link(one) for one in ready]
            if self.streaming:
                return [(one.slot, _streamed(one).run()) for one in ready]
            if not ready:
                return []
            outputs = self.network(torch.stack([one.pixels for one in ready]))
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
        """A copy of a window, or its streamed frames; the link of its chain with it."""
        if self.streaming:
            assert isinstance(self.network, StreamingNetwork)
            frames = [state.streamed[slot][position] for position in window]
            return Ready(slot, StreamedWindow(self.network, frames))
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
    ready.link.align(ready.pixels)
    return ready.slot, ready.link.advance()


def _streamed(ready: Ready) -> StreamedWindow:
    assert isinstance(ready.window, StreamedWindow)  # every window of a streaming network is one
    return ready.window
