"""Keeping one worker process alive: start it, listen to it, and start it again when it is gone."""

import asyncio
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import Any, Self

from streamsr.backoff import Backoff
from streamsr.errors import StreamsrError, UserError, WorkerError
from streamsr.events import Code, Emit, Event
from streamsr.hub import Hub
from streamsr.packet import Packet
from streamsr.settings import LimitSettings, PipelineSettings
from streamsr.status import StreamStatus
from streamsr.wire import Kind, Message, encode, read

__all__ = ["Supervisor"]

START_S = 60.0  # for a worker's first word: its imports may come from a slow disk
SILENT_S = 10.0  # without a word from it, a worker hangs and is killed
STALLED_S = 60.0  # with frames waiting and none finished: likewise
STOP_S = 4.0  # for a worker to deliver what it has read


class Supervisor:
    """One stream's worker. Its packets go to ``hub``, in unbroken time across workers."""

    def __init__(self, settings: PipelineSettings, emit: Emit) -> None:
        self.settings = settings
        self.hub = Hub(self._request_keyframe)
        self.summary: dict[str, Any] | None = None  # of the last worker, once it has ended
        self.restarts = 0
        self._status = StreamStatus(settings.name, "starting", settings.model.name, "", "", "")
        self._before = _Counts()  # of the workers that have ended
        self._emit = emit
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stopping = asyncio.Event()
        self._started: float | None = None  # monotonic: the first packet of all
        self._shift_s: float | None = None  # added to this worker's packets; None: not known

    @property
    def status(self) -> StreamStatus:
        """Of the worker there is, its counts on top of those before it."""
        return self._before.added_to(self._status)

    async def run(self) -> None:
        """Run workers until the stream ends or ``stop()``. Raises UserError where it cannot be."""
        backoff = Backoff()
        try:
            while not self._stopping.is_set():
                if await self._life(backoff):
                    return
                self.restarts += 1
                self._before = _Counts.of(self.status)
                self._status = replace(_without_counts(self._status), state="down")
                delay_s = backoff.next_s()
                self._tell(Code.WORKER_DOWN, f"worker ended; a new one in {delay_s:.1f} s")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay_s)
        finally:
            self.hub.close()
            await self._kill()

    async def stop(self) -> None:
        """Ask the worker to deliver what it has and to end; ``run`` returns when it has."""
        self._stopping.set()
        self._send(Message(Kind.STOP))
        if self._process is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_S)
            await self._kill()

    async def _life(self, backoff: Backoff) -> bool:
        """One worker from start to end; whether the stream has ended with it."""
        reader = await self._start()
        self._shift_s = None
        patience_s = START_S
        try:
            while True:
                try:
                    message = await asyncio.wait_for(read(reader), patience_s)
                except TimeoutError:
                    self._tell(Code.WORKER_DOWN, f"worker silent for {patience_s:.0f} s; killed")
                    return False
                if message is None or self._stalled():
                    return self._stopping.is_set()
                if message.kind is Kind.PACKET:
                    backoff.succeeded()
                if self._take(message):
                    return True
                patience_s = SILENT_S
        finally:
            await self._kill()

    def _stalled(self) -> bool:
        """Whether frames have been waiting for too long: a device or a decoder hangs."""
        if self._status.stalled_s <= STALLED_S:
            return False
        self._tell(Code.WORKER_DOWN, f"no frame finished for {STALLED_S:.0f} s; worker killed")
        return True

    def _take(self, message: Message) -> bool:
        """Act on what the worker says; whether it was its last word."""
        match message.kind:
            case Kind.PACKET:
                self.hub.publish(self._in_time(message.body))
            case Kind.STATUS:
                self._status = message.body
            case Kind.EVENT:
                self._emit(message.body)
            case Kind.SUMMARY:
                self.summary = self._before.in_summary(message.body)
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
        settings = self._of_this_life()
        self._send(Message(Kind.SETTINGS, settings.model_dump(mode="json")))
        if self._stopping.is_set():  # while the process was being made
            self._send(Message(Kind.STOP))
        return reader

    def _of_this_life(self) -> PipelineSettings:
        """The settings of the worker that starts: a later one records beside what is there."""
        if self.restarts == 0:
            return self.settings
        settings = self.settings.model_copy(update={"limits": self._limits_left()})
        path = settings.output.path
        if path is None:
            return settings
        numbers = range(self.restarts + 1, self.restarts + 1000)
        names = (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in numbers)
        free = next(name for name in names if not name.exists())
        self._tell(Code.WORKER_UP, f"the recording goes on in {free}")
        output = settings.output.model_copy(update={"path": free})
        return settings.model_copy(update={"output": output})

    def _limits_left(self) -> LimitSettings:
        limits = self.settings.limits
        frames, seconds = limits.frames, limits.seconds
        if frames is not None:
            frames = max(1, frames - self._before.frames_in)
        if seconds is not None and self._started is not None:
            seconds = max(0.1, seconds - (monotonic() - self._started))
        return LimitSettings(frames=frames, seconds=seconds)

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


@dataclass(frozen=True, slots=True)
class _Counts:
    """What a stream's earlier workers counted."""

    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    reconnects: int = 0

    @classmethod
    def of(cls, status: StreamStatus) -> Self:
        """A dead worker's counts. What was under way in it when it died is dropped."""
        dropped = status.frames_in - status.frames_out
        return cls(status.frames_in, status.frames_out, dropped, status.reconnects)

    def added_to(self, status: StreamStatus) -> StreamStatus:
        return replace(status, **{k: getattr(status, k) + v for k, v in asdict(self).items()})

    def in_summary(self, summary: dict[str, Any]) -> dict[str, Any]:
        return summary | {k: summary[k] + v for k, v in asdict(self).items()}


def _without_counts(status: StreamStatus) -> StreamStatus:
    return replace(status, **asdict(_Counts()), fps=0.0, stalled_s=0.0)
