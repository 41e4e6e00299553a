"""Plain scaling of whole frames: the engine of models that are no more than that, what a frame
becomes where a network has no picture for it, and the colour beside a network of luma.

Always on the CPU: it may stand in for a device that is full or broken.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import torch

from streamsr.core.events import Emit
from streamsr.core.frame import Frame, Plane
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream
from streamsr.engine.job import Job
from streamsr.engine.planes import chroma_shift
from streamsr.engine.thread_pool import ThreadPool
from streamsr.networks.resample import Resample, resized_plane
from streamsr.networks.sliding import SlidingWindow

__all__ = ["PlainEngine", "PlainStream", "plain_chroma", "scaled_plainly"]


class PlainEngine:
    """A model that is a filter: its planes are resized as they are, and become no tensor's."""

    def __init__(self, model: SlidingWindow, device: torch.device, pool: ThreadPool[Job]) -> None:
        if not isinstance(model.network, Resample):
            raise TypeError(f"network: got {type(model.network).__name__}, allowed is Resample")
        self.model = model
        self.device = device
        self.workers = pool.workers
        self._kernel = model.network.kernel
        self._pool = pool

    def stream(
        self, name: str, meter: Meter, emit: Emit, *, beside: EngineStream | None = None
    ) -> "PlainStream":
        return PlainStream(self, name, meter, emit, beside)

    def submit(self, stream: object, job: Job) -> None:
        self._pool.submit(stream, self, job)

    def run(self, jobs: Sequence[Job]) -> None:
        """Scale frames, and settle every job's future."""
        for job in jobs:
            with job.meter.stage("network"):
                upscaled = scaled_plainly(job.frame, self.model.facts.scale, self._kernel)
            job.upscaled.set_result(upscaled)


class PlainStream(EngineStream):
    """One stream through the engine: no frame has to do with another."""

    def __init__(
        self,
        engine: PlainEngine,
        name: str,
        meter: Meter,
        emit: Emit,
        beside: EngineStream | None = None,
    ) -> None:
        super().__init__(name, meter, emit, beside)
        self._engine = engine

    def push(self, frame: Frame) -> list[Future[Frame]]:
        """Take a frame; give the future of it."""
        upscaled: Future[Frame] = Future()
        self._engine.submit(self.account, Job(self._engine, frame, self._meter, upscaled))
        return [upscaled]

    def flush(self) -> list[Future[Frame]]:
        """Nothing is ever pending."""
        return []


def scaled_plainly(frame: Frame, scale: int, kernel: str = "bicubic") -> Frame:
    """``frame`` enlarged by a filter of ``networks/resample.py``."""
    if frame.is_rgb:
        channels = [_resized(frame.planes[0][..., n], scale, kernel, 0.0) for n in range(3)]
        return replace(frame, planes=(np.stack(channels, axis=-1),))
    luma = _resized(frame.planes[0], scale, kernel, 0.0)
    return replace(frame, planes=(luma, *plain_chroma(frame, scale, kernel)))


def plain_chroma(frame: Frame, scale: int, kernel: str = "bicubic") -> tuple[Plane, Plane]:
    """The chroma of a 4:2:0 frame enlarged, where it is sited."""
    height, width = (-(-scale * side // 2) for side in (frame.height, frame.width))
    blue, red = (
        _resized(plane, scale, kernel, chroma_shift(frame.colour, scale))[:height, :width]
        for plane in frame.planes[1:]
    )
    return blue, red


def _resized(plane: Plane, scale: int, kernel: str, shift_x: float) -> Plane:
    with torch.inference_mode():
        samples = torch.from_numpy(np.ascontiguousarray(plane))
        resized: Plane = resized_plane(samples, scale, kernel, shift_x=shift_x).numpy()
    return resized
