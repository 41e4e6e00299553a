"""Keeping one output alive: its process is fed with packets, killed when it hangs, started again.

The stream goes on whatever an output does: a bounded queue lies between them, which goes on at a
keyframe when it was full.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamsr.backoff import Backoff
from streamsr.errors import OutputError
from streamsr.events import Code, Emit, Event
from streamsr.feed import Kind, encode, encode_packet
from streamsr.feeding import PublisherProcess
from streamsr.hub import EndOfStream, Hub, Subscription
from streamsr.packet import AAC, OUTPUT
from streamsr.redact import protect, redact
from streamsr.settings import HlsSettings, PublishSettings, RecordSettings
from streamsr.status import StreamStatus

__all__ = ["Publisher", "check_output"]

START_S = 15.0  # for a process's first word, on a machine that is busy
SILENT_S = 4.0  # without a word from it, a peer holds it and it is killed
STOP_S = 2.0  # to write what is queued and to finish
FACTS_S = 2.0  # for the stream's rate to be known, once there are packets
QUEUED = 256  # packets: three seconds of a stream with sound
FIRST_S, LAST_S = 0.5, 2.0  # before a process is started again: a peer is back within three

Target = PublishSettings | HlsSettings | RecordSettings


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
    end.
    """

    def __init__(
        self,
        stream: str,
        settings: Target,
        hub: Hub,
        status: Callable[[], StreamStatus],
        emit: Emit,
    ) -> None:
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
        self._subscription: Subscription | None = None
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
        return self._lost + (self._subscription.dropped if self._subscription else 0)

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
            while (reason := await self._life(backoff)) is not None:
                self.restarts += 1
                await self._pause(reason, backoff.next_s())
        finally:
            self._unsubscribe()
            self.state = "off"
            self._remove_folder()
            self._ended.set()

    async def stop(self) -> None:
        """Write what is queued, finish within 2 s or be killed; ``run`` returns then."""
        self._stopping.set()
        if not self._running:
            self._remove_folder()
            return
        if self._subscription is not None:
            self._hub.unsubscribe(self._subscription)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()
        if self._link is not None:
            self._link.kill()
        await self._ended.wait()

    async def _life(self, backoff: Backoff) -> str | None:
        """One process from start to end: why it failed, or None where it was meant to end."""
        if self._stopping.is_set():
            return None
        if self._subscription is None:
            tracks = {OUTPUT, AAC} if self._settings.sound else {OUTPUT}
            self._subscription = self._hub.subscribe(tracks, QUEUED)
        try:
            link = self._link = await PublisherProcess.start(self._job())
        except OSError as error:
            return f"no process: {error.strerror}"
        pump = asyncio.create_task(self._pump(link, self._subscription), name="publisher pump")
        try:
            if self._stopping.is_set():  # while the process was being made
                return None
            return await self._listen(link, backoff)
        finally:
            self._link = None
            pump.cancel()
            await link.end()
            await asyncio.gather(pump, return_exceptions=True)
            self._lost += link.underway
            if isinstance(self._settings, PublishSettings):
                self._unsubscribe()  # a server wants what is live, a disk what it missed

    async def _pump(self, link: PublisherProcess, subscription: Subscription) -> None:
        """Hand packets on, as many as the process takes."""
        told = None
        try:
            while True:
                packet = await subscription.receive()
                facts = await self._facts(told)
                if facts != told:
                    link.send(encode(Kind.FACTS, facts))
                    told = facts
                await link.send_packet(encode_packet(packet))
        except EndOfStream:
            link.finish()

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
                return None if self._stopping.is_set() else str(body["reason"])
            if kind is Kind.EVENT:
                self._tell(Code(body["code"]), body["message"])
            elif kind is Kind.PROGRESS:
                link.taken_up_to(body["taken"])
                self._note(body["state"], backoff)
            patience_s = SILENT_S

    def _note(self, state: str, backoff: Backoff) -> None:
        if state == "up" and self.state != "up":
            backoff.succeeded()
            self._told = ""
            self._tell(Code.OUT_UP, f"{self.name} {self.target}: up")
        if state != "starting":  # until it is up again, it is what it was
            self.state = state

    async def _pause(self, reason: str, delay_s: float) -> None:
        """Be down for a while; said once for each reason, for peers may be away for days."""
        self.state = "down"
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

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._hub.unsubscribe(subscription)
            self._lost += subscription.dropped

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
