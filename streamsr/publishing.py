"""Keeping one output alive: its process is fed with packets, killed when it hangs, started again.

The stream goes on whatever an output does: a bounded queue lies between them, which goes on at a
keyframe when it was full.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from traceback import format_exc
from typing import Any

from streamsr.arrival import Arrival
from streamsr.backlog import Backlog
from streamsr.backoff import Backoff
from streamsr.errors import OutputError, StreamsrError
from streamsr.events import Code, Emit, Event
from streamsr.feed import Kind, encode, encode_packet
from streamsr.feeding import PublisherProcess
from streamsr.hub import EndOfStream, Hub
from streamsr.packet import AAC, OUTPUT, Packet
from streamsr.redact import protect, redact
from streamsr.settings import HlsSettings, PublishSettings, RecordSettings
from streamsr.status import StreamStatus

__all__ = ["Publisher", "check_output"]

START_S = 15.0  # for a process's first word, on a machine that is busy
SILENT_S = 4.0  # without a word from it, a peer holds it and it is killed
STOP_S = 2.0  # to write what is queued and to finish
FACTS_S = 2.0  # for the stream's rate to be known, once there are packets
QUEUED = 256  # packets: three seconds of a stream with sound
QUEUED_ALL = 4096  # the same where none may be lost
FIRST_S, LAST_S = 0.5, 2.0  # before a process is started again: a peer is back within three

Target = PublishSettings | HlsSettings | RecordSettings

log = logging.getLogger(__name__)


def check_output(settings: Target) -> None:
    """Make the folder that ``settings`` name. Raises OutputError where it cannot be written."""
    if isinstance(settings, PublishSettings) or settings.folder is None:
        return
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".streamsr-"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"output {folder}: cannot be written: {reason}") from None


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
        hub: Hub,
        status: Callable[[], StreamStatus],
        emit: Emit,
        give_up_s: float | None = None,
    ) -> None:
        self.failure: StreamsrError | None = None  # once ``run`` has returned
        self.name = _kind_of(settings)  # "rtsp", "rtmp", "hls" or "record"
        self.folder: Path | None = None  # of HLS
        self.state = "off"  # or "starting", "up" or "down"
        self.restarts = 0
        self._stream = stream
        self._settings = settings
        self._hub = hub
        self._status = status
        self._emit = emit
        self._temporary = False  # the folder is ours
        self._arrival = Arrival(give_up_s, self._give_up)
        self._backlog: Backlog | None = None
        self._lost = 0  # packets of subscriptions and processes that have ended
        self._link: PublisherProcess | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._running = False
        self._told = ""  # why it is down, as was said last
        if isinstance(settings, PublishSettings):
            protect(settings.url)
        elif isinstance(settings, HlsSettings):
            self._temporary = settings.folder is None
            self.folder = settings.folder or Path(tempfile.mkdtemp(prefix="streamsr-hls-"))

    @property
    def target(self) -> str:
        """Where it goes, for people: an address without its secrets, or a folder."""
        if isinstance(self._settings, PublishSettings):
            return _without_key(redact(self._settings.url))
        return str(self.folder or self._settings.folder)

    @property
    def dropped(self) -> int:
        """Packets that were not delivered."""
        return self._lost + (self._backlog.dropped if self._backlog else 0)

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
            self._unsubscribe()
            self.failure = self._verdict()
            self.state = "off"
            self._remove_folder()
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
            self._remove_folder()
            return
        if self._backlog is not None:
            self._hub.unsubscribe(self._backlog.subscription)
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
        if self._backlog is None:
            self._backlog = self._subscribed()
        elif not self._backlog.keeps:
            self._hub.request_keyframe()  # what is queued may begin anywhere
        backlog = self._backlog
        try:
            link = self._link = await PublisherProcess.start(self._job())
        except OSError as error:
            return f"no process: {error.strerror}"
        try:
            if self._stopping.is_set():  # while the process was being made
                return None
            return await self._fed(link, backlog, backoff)
        finally:
            self._link = None
            await link.end()
            self._close_books(link, backlog)

    async def _fed(self, link: PublisherProcess, backlog: Backlog, backoff: Backoff) -> str | None:
        """Feed the process and hear it, until it ends or either fails."""
        pump = asyncio.create_task(self._pump(link, backlog), name="publisher pump")
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

    async def _pump(self, link: PublisherProcess, backlog: Backlog) -> None:
        """Hand packets on, as many as the process takes."""
        told = None
        try:
            while True:
                packet = await backlog.receive()
                begins = told is None and backlog.keeps
                try:
                    told = await self._hand_on(packet, link, told)
                except BaseException:  # the packet in hand is lost, cancelled or not
                    self._lost += not backlog.keeps
                    raise
                if begins:
                    await link.all_taken()
                    backlog.keep_pace()
        except EndOfStream:
            link.finish()

    async def _hand_on(
        self, packet: Packet, link: PublisherProcess, told: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Send a packet, and before it what is true of the stream, unless that was told."""
        self._arrival.begin()
        facts = await self._facts(told)
        if facts != told:
            link.send(encode(Kind.FACTS, facts))
        await link.send_packet(encode_packet(packet))
        return facts

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
        if self._arrival.reached and self._backlog is not None:
            self._backlog.release()
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

    async def _facts(self, told: dict[str, Any] | None) -> dict[str, Any]:
        """What the process has to know of the stream: what is true now, or else what was.

        Without a source there is no rate: before the first status, packets may be ahead of it, and
        a worker that is being replaced says nothing of the sound that is coming back.
        """
        status = self._status()
        deadline = asyncio.get_running_loop().time() + FACTS_S
        while told is None and not status.rate and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)  # nothing tells us about it
            status = self._status()
        if told is not None and not status.rate:
            return told
        return {"rate": status.rate, "sound": self._settings.sound and status.sound}

    def _job(self) -> dict[str, Any]:
        settings = self._settings.model_dump(mode="json")
        if self.folder is not None:
            settings["folder"] = str(self.folder)
        return {
            "kind": self.name,
            "stream": self._stream,
            "settings": settings,
            "temporary": self._temporary,
            "parent": os.getpid(),
        }

    def _subscribed(self) -> Backlog:
        tracks = {OUTPUT, AAC} if self._settings.sound else {OUTPUT}
        arrival = self._arrival
        subscription = self._hub.subscribe(tracks, QUEUED_ALL if arrival.demanded else QUEUED)
        return Backlog(subscription, keep=arrival.demanded and not arrival.reached)

    def _close_books(self, link: PublisherProcess, backlog: Backlog) -> None:
        """Count what a process had and did not take, unless the next one gets it again."""
        if backlog.keeps:
            backlog.rewind()
            return
        self._lost += link.underway
        if isinstance(self._settings, PublishSettings):
            self._unsubscribe()  # a server wants what is live, a disk what it missed

    def _unsubscribe(self) -> None:
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            self._hub.unsubscribe(backlog.subscription)
            self._lost += backlog.dropped + backlog.held

    def _remove_folder(self) -> None:
        if self._temporary and self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self._stream, redact(message)))


def _kind_of(settings: Target) -> str:
    if isinstance(settings, HlsSettings):
        return "hls"
    if isinstance(settings, RecordSettings):
        return "record"
    return settings.url[:4].lower()


def _without_key(url: str) -> str:
    """An RTMP address without its last part, which is the key to somebody's channel."""
    if not url.lower().startswith("rtmp"):
        return url
    head, slash, _ = url.rpartition("/")
    return f"{head}{slash}***"
