"""The worker of a host's next node, which runs before there is a camera for it.

What a worker imports takes seconds of a busy machine: a camera that comes from a machine that has
died finds it done. So does one that comes after all that ran here have gone.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from streamsr.core.deadline import Deadline
from streamsr.core.devices import pick_device
from streamsr.core.events import Emit
from streamsr.ipc.messages import Message
from streamsr.node.remote_stream import RemoteStream
from streamsr.node.worker_process import WorkerProcess

__all__ = ["WarmWorkers"]


class WarmWorkers:
    """Makes the workers of nodes, one after another; one for the device that "auto" means runs
    beforehand, and goes on after a node that has ended. It is a ``WorkerOf``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._waiting: _WarmWorker | None = None
        self._ended = False

    def __call__(self, device: str, emit: Emit) -> WorkerProcess:
        found = self._waiting
        if found is None or found.device != device:
            return WorkerProcess(device, emit)
        self._waiting = None
        found.left.clear()
        return found

    def begin(self) -> None:
        """Has one run, unless there is one that nobody has taken yet, or all have ended."""
        if self._waiting is None and not self._ended:
            self._waiting = _WarmWorker(pick_device("auto"), self._emit, self._take_back)
            self._waiting.begin()

    async def ready(self, within_s: float) -> None:
        """Returns once the one that runs can take cameras, or was taken, or the time is over."""
        if self._waiting is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.heard.wait(), within_s)

    def end(self) -> None:
        """Ends the one that nobody has taken; none is taken back any more."""
        self._ended = True
        if self._waiting is not None:
            self._waiting.abandon()
            self._waiting = None

    def _take_back(self, worker: "_WarmWorker") -> bool:
        if self._waiting is None and not self._ended:
            self._waiting = worker
        return self._waiting is worker


class _WarmWorker(WorkerProcess):
    """Runs from ``begin`` on; ``run`` waits until the node that took it has stopped it."""

    def __init__(self, device: str, emit: Emit, give_back: Callable[["_WarmWorker"], bool]) -> None:
        super().__init__(device, emit)
        self.heard = asyncio.Event()  # it has imported all it needs
        self._give_back = give_back
        self.left = asyncio.Event()  # by the node that took it
        self._begun: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._begun = asyncio.create_task(super().run(), name=f"worker of {self.device}")

    async def run(self) -> None:
        if self._begun is not None:
            left = asyncio.create_task(self.left.wait(), name=f"leave the worker of {self.device}")
            await asyncio.wait({self._begun, left}, return_when=asyncio.FIRST_COMPLETED)
            left.cancel()

    async def stop(self, deadline: Deadline) -> None:
        """Gives it back where nothing of the node runs in it any more; else ends it."""
        is_free = self.heard.is_set() and all(map(_has_ended, self.streams.values()))
        if is_free and self._give_back(self):
            self.streams.clear()
            self.left.set()
        else:
            await super().stop(deadline)

    def handle(self, message: Message) -> None:
        self.heard.set()
        super().handle(message)

    def ended(self) -> None:
        self.heard.clear()
        super().ended()

    def abandon(self) -> None:
        self.stopping.set()
        self.kill()


def _has_ended(stream: RemoteStream) -> bool:
    """Whether the worker has said that its session has, or never had one."""
    return stream.summary is not None or stream.failure is not None or not stream.sessions
