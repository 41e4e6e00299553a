"""One device with its models, loaded once, for any number of streams."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Never, Self

import torch

from streamsr.api.models import Folders, folders_of
from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError
from streamsr.engine.base import ModelEngine
from streamsr.engine.engines import Engines
from streamsr.engine.threads import in_thread_of_ours
from streamsr.zoo.card import Precision
from streamsr.zoo.registry import Entry

__all__ = ["CLOSED_ENGINE", "FORKED", "SharedEngine"]

CLOSED_ENGINE = "the engine is closed: allowed is to use it before"
FORKED = "it was made before this process was forked: allowed is to make another one here"


class SharedEngine:
    """The threads of one device and the models that are loaded there. Any thread may use it.

    Every ``Upscaler`` that is made with it is a stream of its own, served as fairly as the others.
    Leaving the context ends them all. Closed twice, nothing happens the second time.
    """

    def __init__(self, device: str | torch.device | None = None, *, folders: Folders = ()) -> None:
        """``device`` is "auto" (left out), "cpu", "cuda" or "cuda:N"; ``folders`` hold more models.

        Raises UserError for a device that there is not.
        """
        self.device = torch.device(pick_device("auto" if device is None else str(device)))
        self.folders = folders_of(folders)
        self.engines = Engines(self.device, own_process=False)
        self._closing = threading.Lock()
        self.closing: list[Callable[[], None]] = []  # called as it is to be closed, in its thread
        self.process = os.getpid()
        # also as the program ends
        self._finalizer = weakref.finalize(self, _close_in, self.process, self.engines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(self.close)

    def load(self, entry: Entry, precision: Precision | None = None) -> ModelEngine:
        """Returns a model that is ready to run, loaded the first time.

        Raises ModelError, and InputError once it is closed.
        """
        self.check()
        return in_thread_of_ours(lambda: self.engines.load(entry, precision))

    def check(self) -> None:
        """Raises InputError once it is closed, and in a process that was forked from its own,
        where it has no threads."""
        if os.getpid() != self.process:
            raise InputError(FORKED)
        if self.closed:
            raise InputError(CLOSED_ENGINE)

    @property
    def workers(self) -> int:
        """How many images of one stream are upscaled side by side."""
        return self.engines.workers

    @property
    def closed(self) -> bool:
        """Whether it computes no more."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Ends the threads; images that no thread had begun are not upscaled any more."""
        for tell in list(self.closing):
            tell()
        with self._closing:
            self._finalizer()

    def __reduce__(self) -> Never:
        raise TypeError("an Engine is its threads and cannot be copied: make one in each process")

    def __repr__(self) -> str:
        return f"<streamsr.Engine on {self.device}{', closed' if self.closed else ''}>"


def _close_in(process: int, engines: Engines) -> None:
    """Ends the threads; in a process that was forked from theirs there are none."""
    if os.getpid() == process:
        engines.close()
