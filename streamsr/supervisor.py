"""Keeping one worker process alive: start it, listen to it, and start it again when it is gone."""

import asyncio
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any

from streamsr.backoff import Backoff
from streamsr.errors import StreamsrError, UserError, WorkerError
from streamsr.events import Code, Emit, Event
from streamsr.hub import Hub
from streamsr.packet import Packet
from streamsr.settings import PipelineSettings
from streamsr.status import StreamStatus
from streamsr.wire import Kind, Message, encode, read

__all__ = ["Supervisor"]

SILENT_S = 10.0  # without a word from it, a worker hangs and is killed
STOP_S = 4.0  # for a worker to deliver what it has read


class Supervisor:
    """One stream's worker. Its packets go to ``hub``, in unbroken time across workers."""

    def __init__(self, settings: PipelineSettings, emit: Emit) -> None:
        self.settings = settings
        self.hub = Hub(self._request_keyframe)
        self.status = StreamStatus(settings.name, "starting", settings.model.name, "", "", "")
        self.summary: dict[str, Any] | None = None  # of the last worker, once it has ended
        self.restarts = 0
        self._emit = emit
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stopping = False
        self._started: float | None = None  # monotonic: the first packet of all
        self._shift_s: float | None = None  # added to this worker's packets; None: not known

    async def run(self) -> None:
        """Run workers until the stream ends or ``stop()``. Raises UserError where it cannot be."""
        backoff = Backoff()
        try:
            while not self._stopping:
                ended = await self._life(backoff)
                if ended or self._stopping:
                    return
                self.restarts += 1
                delay_s = backoff.next_s()
                self._tell(Code.WORKER_DOWN, f"worker ended; a new one in {delay_s:.1f} s")
                await asyncio.sleep(delay_s)
        finally:
            self.hub.close()
            await self._kill()

    async def stop(self) -> None:
        """Ask the worker to deliver what it has and to end; ``run`` returns when it has."""
        self._stopping = True
        self._send(Message(Kind.STOP))
        if self._process is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_S)
            await self._kill()

    async def _life(self, backoff: Backoff) -> bool:
        """One worker from start to end; whether the stream has ended with it."""
        reader = await self._start()
        self._shift_s = None
        try:
            while True:
                try:
                    message = await asyncio.wait_for(read(reader), SILENT_S)
                except TimeoutError:
                    self._tell(Code.WORKER_DOWN, f"worker silent for {SILENT_S:.0f} s; killed")
                    return False
                if message is None:
                    return False
                if message.kind is Kind.PACKET:
                    backoff.succeeded()
                if self._take(message):
                    return True
        finally:
            await self._kill()

    def _take(self, message: Message) -> bool:
        """Act on what the worker says; whether it was its last word."""
        match message.kind:
            case Kind.PACKET:
                self.hub.publish(self._in_time(message.body))
            case Kind.STATUS:
                self.status = message.body
            case Kind.EVENT:
                self._emit(message.body)
            case Kind.SUMMARY:
                self.summary = message.body
                return True
            case Kind.FAILURE:
                kind = UserError if message.body["exit_code"] == 2 else StreamsrError
                raise kind(message.body["message"])
            case _:
                raise WorkerError(f"worker said {message.kind.name}, which is not for it to say")
        return False

    def _in_time(self, packet: Packet) -> Packet:
        """Place a packet after those of earlier workers, whose clocks began at 0 as well."""
        now = monotonic()
        if self._started is None:
            self._started = now
        if self._shift_s is None:
            self._shift_s = now - self._started
        return replace(packet, pts=packet.pts + round(self._shift_s / packet.time_base))

    async def _start(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "streamsr.worker",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=2**22)
        self._send(Message(Kind.SETTINGS, self.settings.model_dump(mode="json")))
        return reader

    async def _kill(self) -> None:
        process, writer = self._process, self._writer
        self._process = self._writer = None
        if writer is not None:
            writer.close()
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _request_keyframe(self) -> None:
        self._send(Message(Kind.KEYFRAME))

    def _send(self, message: Message) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self.settings.name, message))
