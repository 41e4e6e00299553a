"""One stream as the main process sees it: it runs in a worker, and outlives workers."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import STREAM_SHARE, Deadline
from streamsr.core.errors import StreamsrError, error_named
from streamsr.core.events import Code, Emit, Event
from streamsr.core.settings import StreamSettings
from streamsr.core.status import Counts, StreamState, StreamStatus
from streamsr.core.waiting import first_of, wait_set
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.ipc.messages import (
    CheckModels,
    Message,
    ModelInUse,
    RequestKeyframe,
    Snapshot,
    StartStream,
    StopStream,
    StreamEnded,
    StreamEvent,
    StreamFailed,
    StreamFormat,
    StreamMessage,
    StreamPacket,
    StreamReport,
    TakeSnapshot,
    UseModel,
    WantTracks,
)
from streamsr.node.asked_model import AskedModel
from streamsr.node.session_settings import of_later_session, read_at
from streamsr.node.stream_clock import StreamClock

__all__ = ["RemoteStream", "WorkerLink"]

FAILED_S = 30.0  # before a session that follows one that failed, where an earlier one has worked
SNAPSHOT_S = 3.0  # for a worker to send a frame


class WorkerLink(Protocol):
    """The worker a stream runs in, whichever process that is at the moment."""

    ready: asyncio.Event  # there is a worker

    def send(self, message: Message) -> None:
        """Queues a message; without a worker nothing is sent."""


class RemoteStream:
    """Runs one session of the stream after another until it has ended, or ``stop()``.

    ``run()`` it once. Its packets go to ``broadcaster`` in unbroken time, whatever happens to
    workers.
    """

    def __init__(
        self,
        settings: StreamSettings,
        worker: WorkerLink,
        emit: Emit,
        *,
        sessions: int = 0,
        backoff: Backoff | None = None,
        failed_s: float = FAILED_S,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        """``sessions``: how many the stream had that this one takes the place of.

        ``failed_s``: until the next session after one that failed, where an earlier one worked.
        ``begun`` is called when a session begins, before anything is told of it.
        """
        self.settings = settings
        self.broadcaster = Broadcaster(
            lambda tracks: self._send(RequestKeyframe(self.key, tracks)),
            lambda tracks: self._send(WantTracks(self.key, tracks)),
        )
        self.summary: StreamStatus | None = None  # of all sessions, once the last one has ended
        self.failure: StreamsrError | None = None  # that it has ended with
        self.enabled = settings.enabled
        self.published_at: str | None = None  # where a worker reads what is published
        self.sessions = sessions
        self._worker = worker
        self._emit = emit
        self._backoff = backoff or Backoff()
        self._failed_s = failed_s
        self._begun = begun
        self._failed = False  # it is to be told that it delivers again
        model = settings.model.name
        self._status = StreamStatus(settings.name, StreamState.STARTING, model, "", "", "")
        self.since = datetime.now(UTC)  # it is in its state
        self._before = Counts()  # of the sessions that have ended
        # The end of the session there is; None where it was stopped and has not told of it.
        self._ending: asyncio.Future[StreamEnded | StreamFailed | None] | None = None
        self._idle = asyncio.Event()  # there is no session, and the last one's counts are added
        self._idle.set()
        self._changed = asyncio.Event()  # what run() goes by may be another
        self._stopping = False
        self._asked = False  # the end of this session was asked for
        self._started: float | None = None  # monotonic: first live, or the first packet
        self._clock = StreamClock()
        self._model = AskedModel()
        self.reported = asyncio.Event()  # the worker has told how the stream stands
        self._snapshots: dict[int, asyncio.Future[bytes]] = {}  # the next ones to come, by width

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def status(self) -> StreamStatus:
        """Of the session there is, with the counts of those before it added."""
        status = self._status.plus(self._before)
        return status if self.enabled else replace(status, state=StreamState.DISABLED, fps=0.0)

    @property
    def key(self) -> str:
        """The session's name between processes: an earlier one may still be ending."""
        return f"{self.name}:{self.sessions}"

    async def run(self) -> None:
        """Runs until the end of the stream, a failure that lasts, or ``stop()``."""
        try:
            while not self._stopping:
                self._changed.clear()
                if not self.enabled:
                    await self._changed.wait()
                    continue
                ready, changed = self._worker.ready, self._changed
                await first_of(ready.wait(), changed.wait(), name=f"worker for {self.name}")
                if ready.is_set() and not changed.is_set() and await self._session():
                    return
        finally:
            self.broadcaster.close()

    async def enable(self, on: bool) -> None:
        """Switches it on or off; off, its session has ended on return. ``run`` goes on."""
        if on is not self.enabled:
            self.enabled, self.since = on, datetime.now(UTC)
        self._changed.set()
        if not on:
            await self._end_session(Deadline.after().share(STREAM_SHARE))

    async def restart(self, settings: StreamSettings) -> None:
        """Goes on with other settings, in another session."""
        self.settings = settings
        self._changed.set()
        await self._end_session(Deadline.after().share(STREAM_SHARE))

    async def stop(self, deadline: Deadline) -> None:
        """Delivers what was read and ends by the deadline; ``run`` returns."""
        self._stopping = True
        self._changed.set()
        await self._end_session(deadline)

    def use_model(self, settings: StreamSettings) -> None:
        """Goes on by another model of the same scale, where it loads; later sessions too."""
        self.settings = settings
        if self._ending is not None:
            self._model.ask()
            self._send(UseModel(self.key, settings.model.name))

    async def snapshot(self, width: int = 0) -> bytes:
        """Returns the newest upscaled frame as JPEG, shrunk to ``width`` where that is not 0.

        Raises TimeoutError where there is none.
        """
        if self._ending is None:
            raise TimeoutError
        self._send(TakeSnapshot(self.key, width))
        async with asyncio.timeout(SNAPSHOT_S):
            return await asyncio.shield(self._snapshots.setdefault(width, asyncio.Future()))

    def check_models(self) -> None:
        """Makes the next self-check now; its result comes with a status."""
        self._send(CheckModels(self.key))

    def handle(self, message: StreamMessage) -> None:
        """Acts on a message of the worker."""
        ending = self._ending
        if message.key != self.key or ending is None or ending.done():
            return  # of a session that has ended
        match message:
            case StreamFormat():
                self.broadcaster.format = message
                self._clock.frame_s = 1 / message.rate
            case StreamPacket(packet=packet):
                self._begin_time()
                self.broadcaster.publish(self._clock.placed(packet, monotonic()))
            case StreamReport(status=status):
                self._enter(status)
                self.reported.set()
            case StreamEvent(event=event):
                if event.code is Code.MODEL_FAILED:
                    self.settings = self._model.answered(self.settings, None)
                self._emit(event)
            case ModelInUse(model=name):
                self.settings = self._model.answered(self.settings, name)
                self._tell(Code.MODEL_UP, f"{name} runs, as was asked for")
            case Snapshot(jpeg=jpeg, width=width) if width in self._snapshots:
                self._snapshots.pop(width).set_result(jpeg)
            case StreamEnded() | StreamFailed():
                ending.set_result(message)

    def lost(self) -> None:
        """Ends the session: its worker is gone, and what was in flight with it."""
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(StreamFailed(self.key, "its worker ended", None))

    async def _session(self) -> bool:
        """Runs one session from start to end; returns whether the stream has ended with it."""
        self._ending = asyncio.get_running_loop().create_future()
        self._idle.clear()
        self._clock.begin_session()
        self._model.begin(self.settings)
        self._asked, self.summary = False, None
        self.sessions += 1
        self._begun()
        try:
            settings = read_at(self.published_at, self._settings_of_session()).model_dump_json()
            self._send(StartStream(self.key, settings, self.broadcaster.wanted))
            end = await self._ending
            if self._status.frames_out:
                self._backoff.succeeded()
            if isinstance(end, StreamEnded):
                self.summary = end.summary.plus(self._before)
            self._before = self.status.settled()
            down = replace(self._status, state=StreamState.DOWN, fps=0.0, stalled_s=0.0)
            self._enter(down.cleared())
        finally:
            self._ending = None
            self._idle.set()
        match end:
            case StreamFailed(message=why, exit_code=None):
                await self._recover(why, self._backoff.next_s())
            case StreamFailed(message=why) if self._before.frames_out:
                await self._recover(why, self._failed_s)
            case StreamFailed(message=why, exit_code=code, kind=kind):  # it has never worked
                self.failure = error_named(kind or ("UserError" if code == 2 else ""))(why)
                self._enter(replace(self._status, state=StreamState.ENDED, message=why))
                self._tell(Code.STREAM_FAILED, why)
                return True
        return not self._asked and isinstance(end, StreamEnded)

    async def _recover(self, why: str, delay_s: float) -> None:
        if self._stopping:
            return
        self._failed = True
        self._tell(Code.STREAM_FAILED, why, f"it starts again in {delay_s:.0f} s")
        await wait_set(self._changed, delay_s)

    async def _end_session(self, deadline: Deadline) -> None:
        """Asks for the end of the session there is, and waits until it has ended."""
        ending = self._ending
        if ending is None:
            return
        self._asked = True
        self._send(StopStream(self.key, deadline.share(0.9).left_s()))
        await asyncio.wait({ending}, timeout=deadline.left_s())
        if not ending.done():
            ending.set_result(None)
        await self._idle.wait()

    def _begin_time(self) -> None:
        """Notes when the stream began, which is now unless it has before."""
        if self._started is None:
            self._started = monotonic()

    def _settings_of_session(self) -> StreamSettings:
        """The settings of the session that starts: a later one writes beside what is there."""
        if self.sessions == 1:
            return self.settings
        seconds = 0.0 if self._started is None else monotonic() - self._started
        later = of_later_session(self.settings, self.sessions, self._before.frames_in, seconds)
        if later.output.path != self.settings.output.path:
            self._tell(Code.OUT_UP, f"the recording goes on in {later.output.path}")
        return later

    def _send(self, message: Message) -> None:
        if self._ending is not None:
            self._worker.send(message)

    def _enter(self, status: StreamStatus) -> None:
        if status.state is not self._status.state:
            self.since = datetime.now(UTC)
        self._status = status
        if status.state is StreamState.LIVE:
            self._begin_time()
            if self._failed:
                self._failed = False
                self._tell(Code.STREAM_UP, "it delivers again")

    def _tell(self, code: Code, message: str, doing: str = "") -> None:
        self._emit(Event(code, self.name, message, doing=doing))
