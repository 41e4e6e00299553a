"""The worker of one device, as the node sees it: a supervised process with streams in it."""

import asyncio
from typing import Protocol

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import Deadline
from streamsr.core.events import Code, Emit, Event
from streamsr.core.status import StreamState
from streamsr.ipc.messages import Message, Quit, StreamMessage, StreamReport
from streamsr.ipc.process import HeartbeatLimits, RestartError, SupervisedProcess
from streamsr.node.remote_stream import RemoteStream, WorkerLink

__all__ = ["DeviceWorker", "WorkerProcess"]

LIMITS = HeartbeatLimits(start_s=60.0, silence_s=5.0)
STALLED_S = 20.0  # with frames of a stream waiting and none finished: the engine hangs


class DeviceWorker(WorkerLink, Protocol):
    """What runs the streams of one device, in a process of its own or in this one."""

    device: str
    streams: dict[str, RemoteStream]  # whoever runs a stream puts it here

    async def run(self) -> None:
        """Runs until ``stop``."""

    async def stop(self, deadline: Deadline) -> None:
        """Ends it by the deadline; ``run`` returns."""


class WorkerProcess(SupervisedProcess):
    """Runs a worker and hands its messages to the streams they are about.

    It is a ``DeviceWorker``.
    """

    def __init__(
        self,
        device: str,
        emit: Emit,
        *,
        limits: HeartbeatLimits = LIMITS,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(
            "streamsr.worker.main", device, limits=limits, backoff=backoff or Backoff()
        )
        self.device = device
        self.streams: dict[str, RemoteStream] = {}
        self._emit = emit
        self.ready = asyncio.Event()  # there is a process that can be sent messages
        self._announced = True  # that a process took the place of one that ended
        self._heard = False  # anything of the process there is: it has begun

    async def send_input(self) -> None:
        self._announced = self.restarts == 0
        self.ready.set()

    def handle(self, message: Message) -> None:
        self._heard = True
        if not self._announced:
            self._announced = True
            self._tell(Code.WORKER_UP, "another one took its place")
        if isinstance(message, StreamMessage):
            stream = self.streams.get(message.key.partition(":")[0])
            if stream is not None:
                stream.handle(message)
        if isinstance(message, StreamReport):
            status = message.status
            if status.state is StreamState.LIVE:
                self.backoff.succeeded()
            if status.stalled_s > STALLED_S:
                raise RestartError(f"{status.name}: no frame finished for {STALLED_S:.0f} s")

    def finish(self, deadline: Deadline) -> None:
        if self._heard:
            self.send(Quit(deadline.left_s()))
        else:
            self.kill()  # it is still being imported, for seconds on a busy machine

    def failed(self, reason: str, delay_s: float) -> None:
        doing = f"a new one is started within {self.backoff.last_s:g} s"
        self._tell(Code.WORKER_DOWN, reason, doing)

    def ended(self) -> None:
        self.ready.clear()
        self._heard = False
        for stream in self.streams.values():
            stream.lost()

    def _tell(self, code: Code, message: str, doing: str = "") -> None:
        message = f"worker of {self.device}: {message}"
        self._emit(Event(code, "", message, self.device, doing))
