"""The worker of a host's next node, begun before there is a camera for it.

What a worker imports takes seconds of a busy machine: a camera that comes from a machine that has
died finds it done.
"""

import asyncio
from contextlib import suppress

from streamsr.core.devices import pick_device
from streamsr.core.events import Emit
from streamsr.ipc.messages import Message
from streamsr.node.worker_process import WorkerProcess

__all__ = ["WarmWorkers"]


class WarmWorkers:
    """Makes the workers of nodes, one after another; one for the device that "auto" means runs
    beforehand. It is a ``WorkerOf``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._waiting: _WarmWorker | None = None

    def __call__(self, device: str, emit: Emit) -> WorkerProcess:
        found = self._waiting
        if found is None or found.device != device:
            return WorkerProcess(device, emit)
        self._waiting = None
        return found

    def begin(self) -> None:
        """Has one run, unless there is one that nobody has taken yet."""
        if self._waiting is None:
            self._waiting = _WarmWorker(pick_device("auto"), self._emit)
            self._waiting.begin()

    async def ready(self, within_s: float) -> None:
        """Returns once the one that runs can take cameras, or was taken, or the time is over."""
        if self._waiting is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.heard.wait(), within_s)

    def end(self) -> None:
        """Ends the one that nobody has taken."""
        if self._waiting is not None:
            self._waiting.abandon()
            self._waiting = None


class _WarmWorker(WorkerProcess):
    """Runs from ``begin`` on; ``run`` waits for its end."""

    def __init__(self, device: str, emit: Emit) -> None:
        super().__init__(device, emit)
        self.heard = asyncio.Event()  # it has imported all it needs
        self._begun: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._begun = asyncio.create_task(super().run(), name=f"worker of {self.device}")

    async def run(self) -> None:
        if self._begun is not None:
            await self._begun

    def handle(self, message: Message) -> None:
        self.heard.set()
        super().handle(message)

    def abandon(self) -> None:
        self.stopping.set()
        self.kill()
