"""The worker of one device in this very process, where what a program has registered is known."""

import asyncio
from collections.abc import Callable, Sequence

import torch

from streamsr.core.deadline import Deadline
from streamsr.core.events import Emit
from streamsr.engine.engines import Engines
from streamsr.ipc.messages import Message, StreamMessage
from streamsr.node.remote_stream import RemoteStream
from streamsr.pipeline.sinks.plugin_sinks import OpenedSink
from streamsr.worker.main import Worker

__all__ = ["LocalWorker"]


class LocalWorker:
    """Runs streams in threads of this process. It is a ``DeviceWorker``.

    Nothing starts it again: what ends this process ends it too.
    """

    def __init__(self, device: str, emit: Emit, sinks: Sequence[OpenedSink] = ()) -> None:
        """``sinks`` take what every stream makes, beside those of its settings."""
        self.device = device
        self.streams: dict[str, RemoteStream] = {}
        self.ready = asyncio.Event()
        self._over = asyncio.Event()
        self._engines = Engines(torch.device(device), own_process=False)
        self._worker = Worker(_LocalLink(self._handle), self._engines, sinks)

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
            await asyncio.to_thread(self._engines.close)
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
