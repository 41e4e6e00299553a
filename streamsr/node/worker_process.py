"""Keeping one worker process alive: start it, listen to it, and start it again when it is gone."""

import asyncio
from contextlib import suppress

from streamsr.core.backoff import Backoff
from streamsr.core.events import Code, Emit, Event
from streamsr.core.redact import redact
from streamsr.ipc.messages import Kind, Message, encode, read
from streamsr.ipc.process import ChildProcess
from streamsr.node.remote_stream import RemoteStream

__all__ = ["WorkerProcess"]

START_S = 60.0  # for a worker's first word: its imports may come from a slow disk
SILENT_S = 5.0  # without a word from it, a worker hangs and is killed
STALLED_S = 20.0  # with a stream's frames waiting and none finished: likewise
STOP_S = 1.0  # for a worker whose streams have ended


class WorkerProcess:
    """The worker of one device, and the streams in it, from ``begin()`` to ``stop()``.

    It is the :class:`~streamsr.node.remote_stream.WorkerLink` of its streams.
    """

    def __init__(self, device: str, emit: Emit) -> None:
        self.device = device
        self.restarts = 0
        self.streams: dict[str, RemoteStream] = {}  # whoever runs a stream puts it here
        self._emit = emit
        self._child: ChildProcess | None = None
        self._there = asyncio.Event()  # a worker that can be spoken to
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the worker there is."""
        return self._child.pid if self._child is not None else None

    async def ready(self) -> None:
        """Wait until there is a worker."""
        await self._there.wait()

    def send(self, message: Message) -> None:
        """Tell the worker; without one nothing is sent."""
        if self._child is not None:
            self._child.send(encode(message))

    def begin(self) -> None:
        """Keep a worker running from now on."""
        self._running = asyncio.create_task(self._run(), name=f"worker of {self.device}")

    async def stop(self) -> None:
        """Ask the worker to end its streams and itself, and wait until it has, or kill it."""
        self._stopping.set()
        self.send(Message(Kind.QUIT))
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=STOP_S)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                why = await self._life(backoff)
            except Exception as error:  # whatever it is, the streams need another worker
                why = f"{type(error).__name__}: {redact(error)}"
            if self._stopping.is_set():
                return
            self.restarts += 1
            delay_s = backoff.next_s()
            self._tell(Code.WORKER_DOWN, f"{why}; a new one in {delay_s:.1f} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()

    async def _life(self, backoff: Backoff) -> str:
        """One worker from start to end; why it ended."""
        child = self._child = await ChildProcess.start("streamsr.worker.main", self.device)
        if self._stopping.is_set():  # while the process was being made
            self.send(Message(Kind.QUIT))
        self._there.set()
        try:
            return await self._listen(child.reader, backoff)
        finally:
            self._there.clear()
            self._child = None
            await child.end()
            for stream in self.streams.values():
                stream.lost()

    async def _listen(self, reader: asyncio.StreamReader, backoff: Backoff) -> str:
        """Hand on what the worker says, to its end; why that came."""
        patience_s = START_S
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    message = await read(reader)
            except TimeoutError:
                return f"it said nothing for {patience_s:.0f} s"
            if message is None:
                return "it ended"
            if patience_s == START_S and self.restarts:
                self._tell(Code.WORKER_UP, "another one took its place")
            self._take(message)
            if message.kind is Kind.STATUS:
                if message.body.state == "live":
                    backoff.succeeded()
                if message.body.stalled_s > STALLED_S:
                    return f"{message.body.name}: no frame finished for {STALLED_S:.0f} s"
            patience_s = SILENT_S

    def _take(self, message: Message) -> None:
        stream = self.streams.get(message.stream.partition(":")[0])
        if stream is not None:
            stream.take(message)

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, "", f"worker of {self.device}: {message}"))
