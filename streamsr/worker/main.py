"""A worker process: the pipelines of one device, their pixels kept here, their packets sent on.

Started as ``python -m streamsr.worker.main FD DEVICE``, FD being its end of a socket pair. Streams
come and go as the main process says; it ends when it is told to, or when the main process is gone.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress

import torch

from streamsr.core.deadline import Deadline
from streamsr.core.events.log import log_uncaught, set_up_log
from streamsr.engine.allocator import keep_freed_memory
from streamsr.engine.engines import Engines
from streamsr.ipc.framing import read
from streamsr.ipc.messages import (
    CheckModels,
    Heartbeat,
    Message,
    Quit,
    RequestKeyframe,
    StartStream,
    StopStream,
    StreamMessage,
    TakeSnapshot,
    UseModel,
    WantTracks,
)
from streamsr.pipeline.sinks.plugin_sinks import OpenedSink
from streamsr.worker.link import Link, MainLink
from streamsr.worker.stream import WorkerStream

__all__ = ["Worker", "main"]

HEARTBEAT_S = 0.5


class Worker:
    """All streams of this process, on the engines of one device."""

    def __init__(self, link: MainLink, engines: Engines, sinks: Sequence[OpenedSink] = ()) -> None:
        """``sinks`` take what every stream makes, beside those of its settings."""
        self._link = link
        self._engines = engines
        self._sinks = sinks
        self._streams: dict[str, WorkerStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Handles messages until Quit; without a main process there is nobody to work for."""
        beating = asyncio.create_task(self._beat(), name="heartbeat")
        while (message := await read(reader)) is not None and not isinstance(message, Quit):
            self.handle(message)
        await self.end(Deadline.after(message.within_s) if message else Deadline.after())
        beating.cancel()

    async def end(self, deadline: Deadline) -> None:
        """Has every stream deliver what it has read, by the deadline."""
        for stream in self._streams.values():
            stream.stop(deadline)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline.left_s())

    def handle(self, message: Message) -> None:
        """Does what a message of the main process says."""
        if isinstance(message, StartStream):
            stream = WorkerStream(message, self._link, self._sinks)
            self._streams[message.key] = stream
            self._begin(self._keep(message.key, stream), f"stream {message.key}")
            return
        if not isinstance(message, StreamMessage) or message.key not in self._streams:
            return  # it has ended meanwhile
        known = self._streams[message.key]
        match message:
            case StopStream(within_s=within_s):
                known.stop(Deadline.after(within_s))
            case RequestKeyframe(tracks=tracks):
                known.request_keyframe(tracks)
            case WantTracks(tracks=tracks):
                known.want(tracks)
            case UseModel(model=model):
                self._begin(known.use(model, self._engines), f"model of {message.key}")
            case TakeSnapshot(width=width):
                self._begin(known.snapshot(width), f"snapshot of {message.key}")
            case CheckModels():
                known.check_models()

    async def _keep(self, key: str, stream: WorkerStream) -> None:
        try:
            await stream.run(self._engines)
        finally:
            if self._streams[key] is stream:
                del self._streams[key]

    def _begin(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self) -> None:
        while True:
            self._link.send(Heartbeat())
            await asyncio.sleep(HEARTBEAT_S)


async def _serve(connection: socket.socket, device: torch.device) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    link = Link(writer)
    await Worker(link, Engines(device)).run(reader)
    await asyncio.sleep(0)  # what was sent from this thread is written only now
    with suppress(ConnectionError):  # the main process may be gone
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    sys.stdout.flush()
    os._exit(0)  # a source or an engine that is stuck in a library must not keep the process


def main() -> None:
    """Runs the worker of the device ``sys.argv[2]`` on the file descriptor ``sys.argv[1]``."""
    keep_freed_memory()
    set_up_log()
    log_uncaught()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the main process's to act on
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), torch.device(sys.argv[2])))


if __name__ == "__main__":
    main()
