"""What a model costs on this machine, by a short trial: what decides which one a stream runs.

A trial runs a few windows of a small frame in one thread. A network of convolutions costs as much
a pixel at any size, so that its cost at another size follows.
"""

from time import perf_counter, thread_time

import torch

from streamsr.core.errors import ModelError
from streamsr.networks.sliding import Ready, SlidingWindow
from streamsr.zoo.card import Card, Precision
from streamsr.zoo.loading import load_model, precisions_of
from streamsr.zoo.measured import Measured
from streamsr.zoo.registry import Entry

__all__ = ["Speed"]

WIDTH, HEIGHT = 320, 176  # pixels of a trial's frames, at scale 4
SMALL = 64, 48  # of a streaming network, of which a frame takes seconds
FRAMES = 2  # that are timed


class Speed:
    """The cost of models on ``device``, each measured once and kept in ``measured``."""

    def __init__(self, device: torch.device, measured: Measured) -> None:
        self._device = device
        self._measured = measured
        self._closed = False

    def close(self) -> None:
        """Gives up a trial that is being made, before its next window: it raises ModelError."""
        self._closed = True

    def quickest(self, entry: Entry) -> Precision:
        """Returns the precision that a model costs least in. Raises ModelError."""
        able = precisions_of(entry.card, self._device)
        if len(able) == 1:
            return able[0]
        return min(reversed(able), key=lambda precision: self.seconds_a_pixel(entry, precision))

    def seconds_a_pixel(self, entry: Entry, precision: Precision | None = None) -> float:
        """Returns what a pixel of the input costs: one thread's time, on a GPU the device's.

        In the ``quickest`` precision, where none is given. Raises ModelError.
        """
        precision = precision or self.quickest(entry)

        def measure() -> float:
            model = load_model(entry, self._device, precision)
            try:
                return self._trial(model)
            except RuntimeError as error:  # what torch raises for all that goes wrong
                raise ModelError(f"model {entry.name!r}: its trial failed: {error}") from None

        name = f"{_shape(entry.card)} {precision} on {_name(self._device)}"
        return self._measured.of(name, measure)

    def _trial(self, model: SlidingWindow) -> float:
        facts = model.facts
        height, width = (
            max(side * 4 // (facts.scale * facts.multiple), 1) * facts.multiple
            for side in (reversed(SMALL) if model.streaming else (HEIGHT, WIDTH))
        )
        seeded = torch.Generator().manual_seed(0)
        shape = (facts.colour.channels, height, width)
        noise = torch.rand(shape, generator=seeded, dtype=torch.float32)
        state = model.start(1, height, width)
        frames = (noise.roll(n, 2).to(self._device)[None] for n in range(facts.window + FRAMES))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            ready = [window for frame in frames for window in model.push(frame, state)]
            spent = [self._seconds(model, window) for window in ready]
        finally:
            torch.set_num_threads(threads)
        return min(spent[-FRAMES:]) / (height * width)  # other work only makes it slower

    def _seconds(self, model: SlidingWindow, window: Ready) -> float:
        if self._closed:
            raise ModelError("its trial was given up")
        on_cpu = self._device.type == "cpu"
        clock = thread_time if on_cpu else perf_counter
        began_s = clock()
        model.run([window])
        if not on_cpu:
            torch.cuda.synchronize(self._device)
        return clock() - began_s


def _shape(card: Card) -> str:
    """What the cost of a network depends on: all but its weights."""
    options = " ".join(f"{name}={value}" for name, value in sorted(card.options.items()))
    return f"{card.network} {options}"


def _name(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
