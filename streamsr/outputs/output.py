"""Keeping one output alive: its process is fed and heard, killed when it hangs, started again."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from traceback import format_exc

from streamsr.core.backoff import Backoff
from streamsr.core.errors import StreamsrError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.redact import redact
from streamsr.core.status import StreamStatus
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.ipc.feed import Kind
from streamsr.outputs.arrival import Arrival
from streamsr.outputs.feeding import PublisherProcess
from streamsr.outputs.packet_queue import Backlog
from streamsr.outputs.supply import Supply
from streamsr.outputs.target import Destination, Target

__all__ = ["Publisher"]

START_S = 15.0  # for a process's first word, on a machine that is busy
SILENT_S = 4.0  # without a word from it, a peer holds it and it is killed
STOP_S = 2.0  # to write what is queued and to finish
FIRST_S, LAST_S = 0.5, 2.0  # before a process is started again: a peer is back within three

log = logging.getLogger(__name__)


class Publisher:
    """One output of one stream: a server, HLS in a folder, or a recording.

    ``emit`` is told when it goes up and down. HLS without a folder gets one that is removed at the
    end. With ``give_up_s`` all of the stream is to arrive: its beginning is kept until the server
    is up, which is given so long; ``failure`` says at the end what did not arrive.
    """

    def __init__(
        self,
        stream: str,
        settings: Target,
        broadcaster: Broadcaster,
        status: Callable[[], StreamStatus],
        emit: Emit,
        give_up_s: float | None = None,
    ) -> None:
        self._destination = Destination(settings)
        self.failure: StreamsrError | None = None  # once ``run`` has returned
        self.name = self._destination.kind  # "rtsp", "rtmp", "hls" or "record"
        self.folder = self._destination.folder  # of HLS
        self.state = "off"  # or "starting", "up" or "down"
        self.restarts = 0
        self._stream = stream
        self._emit = emit
        self._arrival = Arrival(give_up_s, self._give_up)
        self._supply = Supply(settings, broadcaster, status, self._arrival)
        self._link: PublisherProcess | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._running = False
        self._told = ""  # why it is down, as was said last

    @property
    def target(self) -> str:
        """Where it goes, for people: an address without its secrets, or a folder."""
        return str(self._destination)

    @property
    def dropped(self) -> int:
        """Packets that were not delivered."""
        return self._supply.dropped

    @property
    def pid(self) -> int | None:
        """Of the process there is."""
        return self._link.pid if self._link else None

    async def run(self) -> None:
        """Publish until ``stop()`` or the end of the stream, whatever a peer does."""
        self._running = True
        self.state = "starting"
        backoff = Backoff(FIRST_S, LAST_S)
        try:
            while (reason := await self._survived(backoff)) is not None:
                self.restarts += 1
                await self._pause(reason, backoff.next_s())
        finally:
            self._supply.end()
            self.failure = self._verdict()
            self.state = "off"
            self._destination.remove_folder()
            self._arrival.over()
            self._ended.set()

    async def arrived(self) -> None:
        """Wait until all of a stream that has ended has arrived, or was given up.

        At once where not all of it is to arrive.
        """
        await self._arrival.wait()

    async def stop(self) -> None:
        """Write what is queued, finish within 2 s or be killed; ``run`` returns then."""
        self._stopping.set()
        if not self._running:
            self._destination.remove_folder()
            return
        self._supply.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()
        if self._link is not None:
            self._link.kill()
        await self._ended.wait()

    async def _survived(self, backoff: Backoff) -> str | None:
        """A life whose failure never ends the next one: this supervises, whatever the fault is."""
        try:
            return await self._life(backoff)
        except Exception as error:
            reason = type(error).__name__
            if reason != self._told:
                log.error("%s %s: %s", self.name, self.target, redact(format_exc()))
            return reason

    async def _life(self, backoff: Backoff) -> str | None:
        """One process from start to end: why it failed, or None where it was meant to end."""
        if self._stopping.is_set():
            return None
        backlog = self._supply.begin()
        try:
            link = self._link = await PublisherProcess.start(self._destination.job(self._stream))
        except OSError as error:
            return f"no process: {error.strerror}"
        try:
            if self._stopping.is_set():  # while the process was being made
                return None
            return await self._fed(link, backlog, backoff)
        finally:
            self._link = None
            await link.end()
            self._supply.settle(link, backlog)

    async def _fed(self, link: PublisherProcess, backlog: Backlog, backoff: Backoff) -> str | None:
        """Feed the process and hear it, until it ends or either fails."""
        pump = asyncio.create_task(self._supply.pump(link, backlog), name="publisher pump")
        ears = asyncio.create_task(self._listen(link, backoff), name="publisher ears")
        try:
            await asyncio.wait({pump, ears}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
            return await ears
        finally:
            pump.cancel()
            ears.cancel()
            await asyncio.gather(pump, ears, return_exceptions=True)

    async def _listen(self, link: PublisherProcess, backoff: Backoff) -> str | None:
        """Follow what the process says until it ends."""
        patience_s = START_S
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    message = await link.read()
            except TimeoutError:
                return f"nothing was taken for {patience_s:.0f} s"
            if message is None:
                return None if link.finishing or self._stopping.is_set() else "its process ended"
            kind, body = message
            if kind is Kind.FAILURE:
                return self._last_words(str(body["reason"]))
            if kind is Kind.EVENT:
                self._tell(Code(body["code"]), body["message"])
            elif kind is Kind.PROGRESS:
                link.taken_up_to(body["taken"])
                self._note(body["state"], backoff)
            patience_s = SILENT_S

    def _last_words(self, reason: str) -> str | None:
        """Why it failed, or None where it was to end anyhow: then it just is not complete."""
        if not self._stopping.is_set():
            return reason
        self._told = reason
        return None

    def _note(self, state: str, backoff: Backoff) -> None:
        if state == "up" and self.state != "up":
            backoff.succeeded()
            self._told = ""
            self._tell(Code.OUT_UP, f"{self.name} {self.target}: up")
        self._arrival.heard(state)
        if self._arrival.reached:
            self._supply.release()
        if state not in ("starting", "ended"):  # until it is up again, it is what it was
            self.state = state

    def _give_up(self) -> None:
        self._stopping.set()
        if self._link is not None:
            self._link.kill()

    def _verdict(self) -> StreamsrError | None:
        missing = self._arrival.missing(self.dropped)
        if not missing:
            return None
        reason = f" ({self._told})" if self._told else ""
        return StreamsrError(f"{self.name} {self.target}: {missing}{reason}")

    async def _pause(self, reason: str, delay_s: float) -> None:
        """Be down for a while; said once for each reason, for peers may be away for days."""
        self.state = "down"
        self._arrival.went_down()
        if reason != self._told:
            self._told = reason
            message = f"{self.name} {self.target}: {reason}; trying again until it is back"
            self._tell(Code.OUT_DOWN, message)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self._stream, redact(message)))
