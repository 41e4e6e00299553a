"""The engines of one process: every model loaded once, all of them on one device's threads."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import torch

from streamsr.core.devices import cores
from streamsr.engine.base import ModelEngine
from streamsr.engine.cpu import CpuEngine, CpuJob, cpu_pool
from streamsr.engine.cpu.recurrent import CpuRecurrentEngine
from streamsr.engine.cpu.resample import CpuResampleEngine
from streamsr.engine.cpu.streaming import CpuStreamingEngine
from streamsr.engine.cuda.device import CudaDevice
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.thread_pool import ThreadPool
from streamsr.engine.threads import one_thread_each
from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.facts import Colour
from streamsr.networks.flow import USUAL, Search
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.card import Precision
from streamsr.zoo.loading import load_model, precisions_of
from streamsr.zoo.measured import Measured
from streamsr.zoo.registry import Entry
from streamsr.zoo.speed import Speed

__all__ = ["Engines"]

_Key = tuple[Path, int, Precision, int | None, Search]

MAX_WORKERS = 8  # more would only queue frames, and so add latency
SLOTS = 6  # frames of a stream in flight on a GPU


class Engines(AbstractContextManager["Engines"]):
    """The engines of one device; leaving its context ends their threads. Any thread may load.

    ``speed`` says what a model costs there, by what is ``measured`` on this machine.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        own_process: bool = True,
        threads: int = MAX_WORKERS,
        precision: Precision | None = None,
    ) -> None:
        """``own_process``: all that this process computes may be set to take one thread an
        operation; else only what these engines compute does. ``threads``: of a CPU, at most.
        ``precision``: of models whose card allows it; None: the quickest.
        """
        self.device = device
        self._precision = precision
        self.measured = Measured()
        self.speed = Speed(device, self.measured)
        self.sharing = 0  # streams that cannot wait
        self._counting = threading.Lock()  # of them: it is never held for long
        self._loaded: dict[_Key, ModelEngine] = {}
        self._loading = threading.Lock()
        self._stack = ExitStack()
        self._pool: ThreadPool[CpuJob] | None = None
        if own_process:
            one_thread_each()  # see cpu/engine.py
        if device.type == "cpu":
            self._pool = self._stack.enter_context(cpu_pool(min(threads, MAX_WORKERS, cores())))

    def __exit__(self, *exception: object) -> None:
        self.close()

    def of(self, model: SlidingWindow, memory: int | None = None) -> ModelEngine:
        """Returns an engine for a model that is loaded already.

        ``memory`` is what each stream of a streaming network takes on a CPU, in bytes; None: as
        this machine has.
        """
        if self._pool is not None:
            if model.streaming:
                return CpuStreamingEngine(model, self.device, self._pool, memory)
            return _cpu_kind(model)(model, self.device, self._pool)
        return self._stack.enter_context(CudaEngine(model, CudaDevice(self.device), slots=SLOTS))

    def load(
        self,
        entry: Entry,
        precision: Precision | None = None,
        memory: int | None = None,
        search: Search = USUAL,
    ) -> ModelEngine:
        """Returns the engine of a model, loaded the first time, with ``memory`` as ``of`` has it.

        In the precision that costs least, where none is given; a recurrent network finds motion by
        ``search``. Raises ModelError as ``load_model`` does.
        """
        precision = precision or self._asked(entry) or self.speed.quickest(entry)
        with self._loading:
            # a filter serves every scale
            key = entry.folder, entry.facts.scale, precision, memory, search
            if key not in self._loaded:
                model = load_model(entry, self.device, precision)
                if isinstance(model.network, RecurrentNetwork):
                    model.network.search = search
                self._loaded[key] = self.of(model, memory)
            return self._loaded[key]

    def _asked(self, entry: Entry) -> Precision | None:
        able = precisions_of(entry.card, self.device)
        return self._precision if self._precision in able else None

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Counts a stream that cannot wait while its context lasts."""
        with self._counting:
            self.sharing += 1
        try:
            yield
        finally:
            with self._counting:
                self.sharing -= 1

    @property
    def cores(self) -> int:
        """How many cores this process may use."""
        return cores()

    @property
    def workers(self) -> int:
        """How many frames of one stream are in flight at once."""
        return SLOTS if self._pool is None else self._pool.workers

    def close(self) -> None:
        """Ends the threads; what is in flight is finished, save a trial."""
        self.speed.close()
        self._stack.close()


def _cpu_kind(model: SlidingWindow) -> type[CpuEngine]:
    if model.recurrent:
        return CpuRecurrentEngine
    is_filter = type(model.network) is Resample and model.facts.colour is Colour.LUMA
    return CpuResampleEngine if is_filter else CpuEngine
