"""The worker of one device in this very process, where what a program has registered is known."""

import asyncio
from collections.abc import Callable, Sequence

from streamsr.api.shared import SharedEngine
from streamsr.core.deadline import Deadline
from streamsr.core.events import Emit
from streamsr.ipc.messages import Message, StreamMessage
from streamsr.node.remote_stream import RemoteStream
from streamsr.pipeline.sinks.plugin_sinks import OpenedSink
from streamsr.worker.main import Worker

__all__ = ["LocalWorker"]


class LocalWorker:
    """Runs streams in threads of this process. It is a ``DeviceWorker``.

    Nothing starts it again: what ends this process ends it too.
    """

    def __init__(
        self,
        device: str,
        emit: Emit,
        sinks: Sequence[OpenedSink] = (),
        engine: SharedEngine | None = None,
    ) -> None:
        """``sinks`` take what every stream makes, beside those of its settings. ``engine`` runs
        what is on its device, and stays open."""
        self.device = device
        self.streams: dict[str, RemoteStream] = {}
        self.ready = asyncio.Event()
        self._over = asyncio.Event()
        is_elsewhere = engine is None or str(engine.device) != device
        self._own = SharedEngine(device) if is_elsewhere else None
        used = self._own or engine
        assert used is not None
        self._worker = Worker(_LocalLink(self._handle), used.engines, sinks)

    def send(self, message: Message) -> None:
        self._worker.handle(message)

    async def run(self) -> None:
        """Runs until ``stop``."""
        self.ready.set()
        await self._over.wait()

    async def stop(self, deadline: Deadline) -> None:
        """Ends its streams by the deadline, and its threads with what they are at."""
        self.ready.clear()
        try:
            await self._worker.end(deadline)
        finally:
            if self._own is not None:
                await asyncio.to_thread(self._own.close)
            self._over.set()

    def _handle(self, message: Message) -> None:
        if isinstance(message, StreamMessage):
            stream = self.streams.get(message.key.partition(":")[0])
            if stream is not None:
                stream.handle(message)


class _LocalLink:
    """Hands messages on in the loop of this process."""

    full = False

    def __init__(self, handle: Callable[[Message], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.write = handle

    def send(self, message: Message) -> None:
        self.loop.call_soon_threadsafe(self.write, message)
