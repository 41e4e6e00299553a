"""The engines of one process: every model loaded once, all of them on one device's threads."""

import os
import threading
from contextlib import ExitStack
from pathlib import Path

import torch

from streamsr.core.closing import Closing
from streamsr.engine.base import Engine
from streamsr.engine.cpu import CpuEngine
from streamsr.engine.cpu_recurrent import CpuRecurrentEngine
from streamsr.engine.cuda.device import CudaDevice
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.job import Job, run_jobs
from streamsr.engine.resample import PlainEngine
from streamsr.engine.scheduler import Scheduler
from streamsr.engine.thread_pool import ThreadPool
from streamsr.networks.facts import Colour
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import Entry

__all__ = ["Engines"]

MAX_WORKERS = 8  # more would only queue frames, and so add latency


class Engines(Closing):
    """The engines of one device. ``with`` it: leaving ends their threads. Any thread may load.

    On a CPU a window is a batch of its own: two in one thread would leave another thread idle.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._loaded: dict[Path, Engine] = {}
        self._loading = threading.Lock()
        self._stack = ExitStack()
        self._pool: ThreadPool[Job] | None = None
        if device.type == "cpu":
            torch.set_num_threads(1)  # of the whole process: see cpu.py
            workers = min(MAX_WORKERS, _cores())
            pool = ThreadPool[Job](workers, Scheduler(1, 0.0), run_jobs, lambda job: job.abandon())
            self._pool = self._stack.enter_context(pool)

    def of(self, model: SlidingWindow) -> Engine:
        """An engine for a model that is loaded already."""
        if self._pool is not None:
            return _cpu_kind(model)(model, self.device, self._pool)
        return self._stack.enter_context(CudaEngine(model, CudaDevice(self.device)))

    def load(self, entry: Entry) -> Engine:
        """The engine of a model, loaded the first time. Raises ModelError."""
        with self._loading:
            if entry.folder not in self._loaded:
                self._loaded[entry.folder] = self.of(load_model(entry, self.device))
            return self._loaded[entry.folder]

    def close(self) -> None:
        """End the threads; what is under way is finished."""
        self._stack.close()


def _cpu_kind(model: SlidingWindow) -> type[PlainEngine] | type[CpuEngine]:
    if model.recurrent:
        return CpuRecurrentEngine
    plain = type(model.network) is Resample and model.facts.colour is Colour.LUMA
    return PlainEngine if plain else CpuEngine


def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
