"""One output of one stream, kept alive in a process of its own whatever its peer does."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import Deadline
from streamsr.core.errors import StreamsrError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.packet import Track
from streamsr.core.redact import redact
from streamsr.core.settings import PublishSettings, RecordSettings
from streamsr.core.status import OutputState
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream
from streamsr.ipc.messages import (
    FinishOutput,
    Message,
    OutputEvent,
    OutputFailed,
    OutputFormat,
    OutputPacket,
    OutputProgress,
)
from streamsr.ipc.process import HeartbeatLimits, RestartError, SupervisedProcess
from streamsr.outputs.packet_queue import PacketQueue
from streamsr.outputs.target import Target, TargetSettings

__all__ = ["Output"]

LIMITS = HeartbeatLimits(start_s=15.0, silence_s=4.0)
FIRST_S, LAST_S = 0.5, 2.0  # before a process is started again: a peer is back within three


class Output(SupervisedProcess):
    """One output: a server, HLS in a folder, or a recording.

    ``emit`` is told when it goes up and down. Where a server has ``give_up_s`` all of the stream is
    to arrive: its beginning is kept until the server is up, which is given so long; ``failure``
    says at the end what did not.
    """

    def __init__(
        self,
        stream: str,
        settings: TargetSettings,
        broadcaster: Broadcaster,
        emit: Emit,
        *,
        name: str = "",
        lease: Path | None = None,
        limits: HeartbeatLimits = LIMITS,
        backoff: Backoff | None = None,
    ) -> None:
        """``name`` tells it from other outputs of the stream; ``lease`` as Target has it."""
        backoff = backoff or Backoff(FIRST_S, LAST_S)
        super().__init__("streamsr.outputs.process", limits=limits, backoff=backoff)
        self._target = Target(stream, settings, lease)
        self.name = name or f"{self._target.kind}-1"  # its own within the stream
        self.target = self._target.name  # for people: without secrets, or a folder
        self.state = OutputState.OFF
        self.since = datetime.now(UTC)  # it is in that state
        self.failure: StreamsrError | None = None  # once ``run`` has returned
        self._stream = stream
        self._audio = settings.audio
        self._broadcaster = broadcaster
        self._emit = emit
        self._give_up_s = settings.give_up_s if isinstance(settings, PublishSettings) else None
        replay = self._give_up_s is not None
        live = isinstance(settings, PublishSettings)  # a disk wants what it missed
        self._from_start = not live or replay  # that nothing is left out at first
        video = Track.RECORD if isinstance(settings, RecordSettings) else Track.OUTPUT
        self._queue = PacketQueue(
            broadcaster,
            {video, Track.AAC} if self._audio else {video},
            live=live,
            replay=replay,
        )
        self._ready = asyncio.Event()  # the process there is has sent its first message
        self._finishing = False  # the process there is was told that there are no more packets
        self._reached = False  # the server was up, or took all there was
        self._complete = False  # the newest process said that all was written
        self._interruptions = 0  # how often it went down after it was reached
        self._reason = ""  # why it is down, as was told last
        self._give_up_timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()  # ``run`` has returned

    @property
    def dropped(self) -> int:
        """Packets that were not delivered."""
        return self._queue.dropped

    async def run(self) -> None:
        """Writes until ``stop`` or the end of the stream, whatever a peer does."""
        self._enter(OutputState.STARTING)
        if self._from_start:
            self._queue.begin()
        try:
            await super().run()
        finally:
            self._queue.end()
            self._cancel_timer()
            self.failure = self._missing()
            self._enter(OutputState.OFF)
            self._over.set()

    async def arrived(self) -> None:
        """Waits until all of a stream that has ended has arrived, or was given up.

        Returns at once where not all of it is to arrive.
        """
        if self._give_up_s is not None:
            self._start_timer()
            await self._over.wait()

    async def send_input(self) -> None:
        """Sends packets, as many as the process takes, until there are no more."""
        self._finishing = False
        self.send(self._target.start)
        await self._ready.wait()  # servers drop what was queued until then and comes all at once
        self._queue.begin()
        sent: OutputFormat | None = None
        try:
            while True:
                packet = await self._queue.receive()
                self._start_timer()
                stream = self._broadcaster.format
                assert stream is not None, "a stream's format comes before its first packet"
                needed = OutputFormat(stream.rate, self._audio and stream.audio)
                if needed != sent:
                    self.send(needed)
                    sent = needed
                self.send(OutputPacket(packet))
        except EndOfStream:
            self._finishing = True
            self.send(FinishOutput())

    def handle(self, message: Message) -> None:
        """Follows what the process says."""
        self._ready.set()
        match message:
            case OutputProgress(state, taken):
                self._queue.taken(taken)
                self._note(state)
            case OutputEvent(code, text):
                self._tell(code, text)
            case OutputFailed(reason):
                if self.stopping.is_set():  # then it just is not complete
                    self._reason = reason
                raise RestartError(reason)

    def finish(self, deadline: Deadline) -> None:
        """Lets it write what is queued."""
        self._queue.close()

    def failed(self, reason: str, delay_s: float) -> None:
        """Notes that it is down; said once for each reason, for peers may be away for days."""
        self._enter(OutputState.DOWN)
        self._interruptions += self._reached
        if reason != self._reason:
            self._reason = reason
            doing = f"tried again every {self.backoff.last_s:g} s"
            self._tell(Code.OUT_DOWN, f"{self.target}: {reason}", doing)

    def ended(self) -> None:
        self._ready.clear()
        self._queue.end_process()

    def meant_to_end(self) -> bool:
        return self._finishing or self.stopping.is_set()

    def _note(self, state: OutputState) -> None:
        if state is OutputState.UP and self.state is not OutputState.UP:
            self.backoff.succeeded()
            self._reason = ""
            self._tell(Code.OUT_UP, f"{self.target}: up")
        self._complete = state is OutputState.OFF
        if state in (OutputState.UP, OutputState.OFF):
            self._reached = True
            self._queue.delivered()
            self._cancel_timer()
        if state in (OutputState.UP, OutputState.DOWN):  # until it is up again, it is what it was
            self._enter(state)

    def _enter(self, state: OutputState) -> None:
        if state is not self.state:
            self.state, self.since = state, datetime.now(UTC)

    def _start_timer(self) -> None:
        """Gives the server its time from now on, unless that runs already."""
        if self._give_up_s is not None and self._give_up_timer is None:
            loop = asyncio.get_running_loop()
            self._give_up_timer = loop.call_later(self._give_up_s, self._give_up)

    def _cancel_timer(self) -> None:
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()

    def _give_up(self) -> None:
        self.stopping.set()
        self.kill()

    def _missing(self) -> StreamsrError | None:
        """Returns what did not arrive, where all was to."""
        lost = self.dropped
        if self._give_up_s is None or (self._complete and not self._interruptions and not lost):
            return None
        if self._reached:
            went_down = f"it went down {self._interruptions} times"
            missing = f"not all was delivered: {went_down}, {lost} packets were lost"
        else:
            missing = f"nothing was delivered: it was not up within {self._give_up_s:.0f} s"
        reason = f" ({self._reason})" if self._reason else ""
        return StreamsrError(f"{self.name} {self.target}: {missing}{reason}")

    def _tell(self, code: Code, message: str, doing: str = "") -> None:
        self._emit(Event(code, self._stream, redact(message), self.name, doing))
