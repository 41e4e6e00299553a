"""One stream as the main process sees it: it runs in a worker, and outlives workers."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, Self

from streamsr.core.backoff import Backoff
from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.packet import Packet
from streamsr.core.settings import LimitSettings, StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.ipc.messages import Kind, Message

__all__ = ["RemoteStream", "WorkerLink"]

STOP_S = 2.0  # for a life to deliver what it has read
FAILED_S = 30.0  # before a life that follows one that failed, where an earlier one has worked


class WorkerLink(Protocol):
    """The worker a stream runs in, whichever process that is at the moment."""

    async def ready(self) -> None:
        """Wait until there is a worker."""

    def send(self, message: Message) -> None:
        """Tell the worker; without one nothing is sent."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one life of the stream ended."""

    summary: dict[str, Any] | None = None
    failure: StreamsrError | None = None  # it cannot be
    crashed: str = ""  # it can be tried again: why


class RemoteStream:
    """``run()`` it once: it lives until it has ended by itself, or ``stop()``.

    Its packets go to ``broadcaster`` in unbroken time, whatever happens to workers.
    """

    def __init__(
        self, settings: StreamSettings, worker: WorkerLink, emit: Emit, *, lives: int = 0
    ) -> None:
        """``lives``: of the stream that this one takes the place of."""
        self.settings = settings
        self.broadcaster = Broadcaster(lambda: self._send(Kind.KEYFRAME), self._want)
        self.summary: dict[str, Any] | None = None  # of all its lives, once the last has ended
        self.failure: StreamsrError | None = None  # that it has ended with
        self.enabled = settings.enabled
        self.lives = lives
        self._worker = worker
        self._emit = emit
        self._status = StreamStatus(self.name, "starting", settings.model.name, "", "", "")
        self._before = _Counts()  # of the lives that have ended
        self._ending: asyncio.Future[_Outcome] | None = None  # of the life there is
        self._idle = asyncio.Event()  # there is no life, and the last one is in the books
        self._idle.set()
        self._changed = asyncio.Event()  # what run() goes by may be another
        self._stopping = False
        self._asked = False  # the end of this life was asked for
        self._started: float | None = None  # monotonic: first live, or the first packet
        self._shift_s: float | None = None  # added to this life's packets; None: not known

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def status(self) -> StreamStatus:
        """Of the life there is, its counts on top of those before it."""
        status = self._before.added_to(self._status)
        return status if self.enabled else replace(status, state="disabled", fps=0.0)

    @property
    def key(self) -> str:
        """What its life is called between processes: an older one may still be dying."""
        return f"{self.name}:{self.lives}"

    async def run(self) -> None:
        """Live until the end of the stream, a failure that lasts, or ``stop()``."""
        backoff = Backoff()
        try:
            while not self._stopping:
                self._changed.clear()
                if not self.enabled:
                    await self._changed.wait()
                elif await self._has_worker() and await self._live(backoff):
                    return
        finally:
            self.broadcaster.close()

    async def enable(self, on: bool) -> None:
        """Have it run, or end its life and wait until it has ended. ``run`` goes on either way."""
        self.enabled = on
        self._changed.set()
        if not on:
            await self._end_life()

    async def restart(self, settings: StreamSettings) -> None:
        """Go on with other settings, in a new life."""
        self.settings = settings
        self._changed.set()
        await self._end_life()

    async def stop(self) -> None:
        """Have it deliver what was read and end; ``run`` returns."""
        self._stopping = True
        self._changed.set()
        await self._end_life()

    def use_model(self, name: str) -> None:
        """Go on with another model of the same scale, without a break; the worker says whether."""
        self._send(Kind.MODEL, name)

    def take(self, message: Message) -> None:
        """Act on what the worker says of this stream."""
        if message.stream != self.key or self._ending is None or self._ending.done():
            return  # of a life that is in the books
        match message.kind:
            case Kind.PACKET:
                self.broadcaster.publish(self._in_time(message.body))
            case Kind.STATUS:
                self._status = message.body
                if message.body.state == "live":
                    self._started = self._started or monotonic()
            case Kind.EVENT:
                self._emit(message.body)
            case Kind.MODEL:
                model = self.settings.model.model_copy(update={"name": message.body})
                self.settings = self.settings.model_copy(update={"model": model})
            case Kind.SUMMARY:
                self._ending.set_result(_Outcome(summary=message.body))
            case Kind.FAILURE if message.body["exit_code"] is None:
                self._ending.set_result(_Outcome(crashed=message.body["message"]))
            case Kind.FAILURE:
                kind = UserError if message.body["exit_code"] == 2 else StreamsrError
                self._ending.set_result(_Outcome(failure=kind(message.body["message"])))

    def lost(self) -> None:
        """The worker is gone, and what was under way with it."""
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(_Outcome(crashed="its worker ended"))

    async def _has_worker(self) -> bool:
        """Wait until there is a worker, or something changed; whether there is one."""
        ready = asyncio.create_task(self._worker.ready(), name=f"worker for {self.name}")
        changed = asyncio.create_task(self._changed.wait(), name=f"change of {self.name}")
        try:
            await asyncio.wait({ready, changed}, return_when=asyncio.FIRST_COMPLETED)
            return not changed.done()
        finally:
            ready.cancel()
            changed.cancel()

    async def _live(self, backoff: Backoff) -> bool:
        """One life from start to end; whether the stream has ended with it."""
        self._ending = asyncio.get_running_loop().create_future()
        self._idle.clear()
        self._shift_s, self._asked, self.summary = None, False, None
        self.lives += 1
        try:
            settings = self._of_this_life().model_dump(mode="json")
            self._send(
                Kind.START, {"settings": settings, "tracks": sorted(self.broadcaster.wanted)}
            )
            outcome = await self._ending
            lived = self._status.frames_out > 0
            if outcome.summary is not None:
                self.summary = self._before.in_summary(outcome.summary)
            self._before = _Counts.of(self.status)
            self._status = replace(_without_counts(self._status), state="down")
        finally:
            self._ending = None
            self._idle.set()
        if lived:
            backoff.succeeded()
        if outcome.failure is not None and not self._before.frames_out:
            return self._fail(outcome.failure)  # it has never worked
        if outcome.failure is not None:
            await self._recover(str(outcome.failure), FAILED_S)
        elif outcome.crashed:
            await self._recover(outcome.crashed, backoff.next_s())
        return not self._asked and outcome.summary is not None

    def _fail(self, failure: StreamsrError) -> bool:
        self.failure = failure
        self._status = replace(self._status, state="ended", message=str(failure))
        self._tell(Code.STREAM_FAILED, str(failure))
        return True

    async def _recover(self, why: str, delay_s: float) -> None:
        if self._stopping:
            return
        self._tell(Code.STREAM_FAILED, f"{why}; it starts again in {delay_s:.1f} s")
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._changed.wait()

    async def _end_life(self) -> None:
        """Ask for the end of the life there is, and wait until it is in the books."""
        ending = self._ending
        if ending is None:
            return
        self._asked = True
        self._send(Kind.STOP)
        await asyncio.wait({ending}, timeout=STOP_S)
        if not ending.done():
            ending.set_result(_Outcome())
        await self._idle.wait()

    def _in_time(self, packet: Packet) -> Packet:
        """Place a packet after those of earlier lives, whose clocks began at 0 as well."""
        now = monotonic()
        if self._started is None:
            self._started = now
        if self._shift_s is None:
            self._shift_s = now - self._started
        return replace(packet, pts=packet.pts + round(self._shift_s / packet.time_base))

    def _of_this_life(self) -> StreamSettings:
        """The settings of the life that starts: a later one records beside what is there."""
        if self.lives == 1:
            return self.settings
        settings = self.settings.model_copy(update={"limits": self._limits_left()})
        path = settings.output.path
        if path is None:
            return settings
        free = _free_beside(path, self.lives)
        self._tell(Code.OUT_UP, f"the recording goes on in {free}")
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

    def _want(self, tracks: frozenset[str]) -> None:
        self._send(Kind.TRACKS, sorted(tracks))

    def _send(self, kind: Kind, body: object = None) -> None:
        if self._ending is not None:
            self._worker.send(Message(kind, self.key, body))

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self.name, message))


@dataclass(frozen=True, slots=True)
class _Counts:
    """What a stream's earlier lives counted."""

    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    reconnects: int = 0
    dropped_by: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, status: StreamStatus) -> Self:
        """The counts of a life that has ended. What was under way in it then is lost."""
        dropped = status.frames_in - status.frames_out
        causes = _sum(status.dropped_by, {"lost": dropped - status.frames_dropped})
        return cls(status.frames_in, status.frames_out, dropped, status.reconnects, causes)

    def added_to(self, status: StreamStatus) -> StreamStatus:
        sums = {name: getattr(status, name) + value for name, value in self._numbers.items()}
        return replace(status, **sums, dropped_by=_sum(status.dropped_by, self.dropped_by))

    def in_summary(self, summary: dict[str, Any]) -> dict[str, Any]:
        return summary | {name: summary[name] + value for name, value in self._numbers.items()}

    @property
    def _numbers(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "dropped_by"}


def _sum(some: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {cause: some.get(cause, 0) + more.get(cause, 0) for cause in some.keys() | more.keys()}


def _without_counts(status: StreamStatus) -> StreamStatus:
    return replace(status, **asdict(_Counts()), fps=0.0, stalled_s=0.0)


def _free_beside(path: Path, number: int) -> Path:
    """NAME.2.mp4 and so on, the first that there is no file of."""
    names = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in range(number, number + 1000))
    return next(name for name in names if not name.exists())
