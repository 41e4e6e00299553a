"""The engine: frames of a stream in, upscaled frames out, in order, on one device.

On a CPU whole windows run side by side, one thread each: threads inside one convolution would
wait for each other at every layer, and on a busy machine that costs more than they win.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from streamsr.engine.colour import network_input, network_output
from streamsr.engine.cuts import CutDetector
from streamsr.errors import UserError
from streamsr.events import Code, Emit, Event
from streamsr.frame import Frame
from streamsr.metrics import Meter
from streamsr.networks.resample import resize
from streamsr.networks.sliding import Ready, SlidingWindow, WindowState

__all__ = ["Engine", "EngineStream", "pick_device"]


def pick_device(name: str) -> torch.device:
    """Give the device called "auto", "cpu", "cuda" or "cuda:N". Raises UserError."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device: got {name!r}, allowed are auto, cpu and cuda:N") from None
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UserError(f"device: got {name!r}, but this machine has {count} CUDA devices")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device: got {name!r}, allowed are auto, cpu and cuda:N")
    return device


MAX_WORKERS = 8  # more would only queue frames, and so add latency
GAP_S = 1.0  # between two frames: the second has nothing to do with the first


class Engine:
    """A device and a loaded model. ``with`` it: leaving ends its threads."""

    def __init__(self, model: SlidingWindow, device: torch.device) -> None:
        self.model = model
        self.device = device
        self.workers = min(MAX_WORKERS, _cores()) if device.type == "cpu" else 1
        if device.type == "cpu":
            torch.set_num_threads(1)  # of the whole process: see above
        self._pool = ThreadPoolExecutor(self.workers, "streamsr-engine")

    def close(self) -> None:
        """End the threads; what is under way is finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def stream(self, name: str, meter: Meter, emit: Emit) -> "EngineStream":
        return EngineStream(self, name, meter, emit)

    def submit(self, work: "_Work") -> Future[Frame]:
        return self._pool.submit(work)


class EngineStream:
    """One stream through the engine: every frame pushed comes out once, in order.

    A frame marked ``discontinuous``, a scene cut and a change of size flush what is pending and
    reset the state, so that no window reaches across. One thread may push.
    """

    def __init__(self, engine: Engine, name: str, meter: Meter, emit: Emit) -> None:
        self._engine = engine
        self._name = name
        self._meter = meter
        self._emit = emit
        self._cuts = CutDetector()
        self._pending: deque[Frame] = deque()  # pushed, but their window is not complete
        self._state: WindowState | None = None
        self._size = (0, 0)
        self._newest_s: float | None = None  # the time of the frame pushed last

    def push(self, frame: Frame) -> list[Future[Frame]]:
        """Take a frame; give what it completes, each done when its future is."""
        model, device = self._engine.model, self._engine.device
        with self._meter.stage("prepare"):
            pixels = network_input(frame, model.facts.colour, device)
            pixels = _padded(pixels, model.facts.multiple)
            done = self.flush() if self._broken(frame) else []
            if self._state is None or self._size != (frame.height, frame.width):
                self._size = (frame.height, frame.width)
                self._state = model.start(1, *pixels.shape[1:])
            self._pending.append(frame)
            ready = model.push(pixels[None], self._state)
        return done + self._submit(ready)

    def flush(self) -> list[Future[Frame]]:
        """End what was pushed so far: give every frame still pending."""
        if self._state is None:
            return []
        return self._submit(self._engine.model.drain(self._state, 0))

    def _broken(self, frame: Frame) -> bool:
        resized = self._size != (frame.height, frame.width)
        apart = self._newest_s is not None and not 0 < frame.time_s - self._newest_s <= GAP_S
        self._newest_s = frame.time_s
        if resized or apart or frame.discontinuous:
            self._cuts.reset()
        if self._engine.model.facts.window == 1:
            return resized  # a window of one frame reaches across nothing
        luma = frame.planes[0][..., 1] if frame.is_rgb else frame.planes[0]
        return self._cuts.is_cut(luma) or resized or apart or frame.discontinuous

    def _submit(self, ready: Sequence[Ready]) -> list[Future[Frame]]:
        return [
            self._engine.submit(
                _Work(self._engine, window, self._pending.popleft(), self._meter, self._failed)
            )
            for window in ready
        ]

    def _failed(self, reason: str) -> None:
        self._meter.count("failed")
        self._emit(Event(Code.SR_FAILED, self._name, f"{reason}; the frame is scaled plainly"))


class _Work:
    """One window on its way through the network: what a pool thread runs."""

    def __init__(
        self,
        engine: Engine,
        window: Ready,
        frame: Frame,
        meter: Meter,
        failed: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._window = window
        self._frame = frame
        self._meter = meter
        self._failed = failed

    def __call__(self) -> Frame:
        frame, facts = self._frame, self._engine.model.facts
        height, width = frame.height * facts.scale, frame.width * facts.scale
        with torch.inference_mode():
            with self._meter.stage("network"):
                output = self._network()[:, :height, :width]
            with self._meter.stage("finish"):
                if not bool(torch.isfinite(output.sum())):
                    self._failed("the network gave values that are not finite")
                    output = self._plain()[:, :height, :width]
                planes = network_output(output, frame, facts.colour, facts.scale)
        return replace(frame, planes=planes)

    def _network(self) -> Tensor:
        try:
            ((_, output),) = self._engine.model.run([self._window])
        except RuntimeError as error:  # torch's for all that goes wrong, a full memory included
            self._failed(f"the network failed: {str(error).splitlines()[0]}")
            return self._plain()
        return output.float()

    def _plain(self) -> Tensor:
        facts = self._engine.model.facts
        pixels = network_input(self._frame, facts.colour, self._engine.device)
        return resize(pixels, facts.scale)


def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _padded(pixels: Tensor, multiple: int) -> Tensor:
    """Pad the right and the bottom to multiples, the edge pixel repeated."""
    down, across = (-side % multiple for side in pixels.shape[1:])
    return F.pad(pixels, (0, across, 0, down), mode="replicate") if down or across else pixels
