"""A worker process: the pipelines of one device, their pixels kept here, their packets sent on.

Started as ``python -m streamsr.worker.main FD DEVICE``, FD being its end of a socket pair. Streams
come and go as the main process says; it ends when it is told to, or when the main process is gone.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from traceback import format_exc

import torch

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.events import Code, Event
from streamsr.core.packet import Packet, Track
from streamsr.core.redact import protect, redact
from streamsr.core.settings import StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.engine.allocator import keep_freed_memory
from streamsr.engine.engines import Engines
from streamsr.ipc.messages import Kind, Message, encode, encode_packet, read
from streamsr.media.audio import AudioEncoder
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.pipeline.build import ladder_of, open_pipeline
from streamsr.pipeline.model_session import Step
from streamsr.pipeline.pipeline import Pipeline

__all__ = ["main"]

STATUS_S = 0.5
END_S = 5.0  # for all streams to end: an engine that hangs must not keep the process
BACKLOG_BYTES = 8 * 1024 * 1024  # unsent: beyond it packets are dropped up to a keyframe
CODECS = {Track.OPUS: "libopus", Track.AAC: "aac"}

log = logging.getLogger(__name__)


class Link:
    """The worker's end: messages out from any thread, in order, never waiting."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._skipping: set[tuple[str, str]] = set()  # streams' tracks that wait for a keyframe

    def send(self, kind: Kind, stream: str = "", body: object = None) -> None:
        self._loop.call_soon_threadsafe(self._writer.write, encode(Message(kind, stream, body)))

    def send_packet(self, stream: str, packet: Packet) -> None:
        self._loop.call_soon_threadsafe(self._write_packet, stream, packet)

    def forget(self, stream: str) -> None:
        """A stream has ended."""
        self._skipping = {track for track in self._skipping if track[0] != stream}

    def _write_packet(self, stream: str, packet: Packet) -> None:
        if self._writer.transport.get_write_buffer_size() > BACKLOG_BYTES:
            self._skipping |= {(stream, Track.OUTPUT), (stream, Track.INPUT)}
        track = stream, packet.track
        if track in self._skipping:
            if not packet.keyframe:
                return
            self._skipping.discard(track)
        self._writer.write(encode_packet(stream, packet))


class LinkSink:
    """A pipeline's packets over the link: the tracks that somebody in the main process wants."""

    def __init__(self, link: Link, stream: str, tracks: frozenset[Track]) -> None:
        self.tracks = tracks
        self._link = link
        self._stream = stream
        self._encoders: dict[Track, AudioEncoder] = {}

    def open(self, keyframe: Packet, rate: Fraction, info: SourceInfo) -> None:
        """Packets need no header."""

    def video(self, packet: Packet) -> None:
        self._link.send_packet(self._stream, packet)

    def audio(self, audio: AudioFrame) -> None:
        for track in self.tracks & CODECS.keys():
            if track not in self._encoders:
                self._encoders[track] = AudioEncoder(CODECS[track])
            self._encode(track, self._encoders[track], audio)

    def close(self) -> None:
        """The link is its owner's."""

    def _encode(self, track: Track, encoder: AudioEncoder, audio: AudioFrame) -> None:
        for packet in encoder.encode(audio):
            assert packet.pts is not None
            own = Packet(track, bytes(packet), packet.pts, encoder.time_base, True)
            self._link.send_packet(self._stream, own)


class Stream:
    """One stream in this worker, from its start to its summary."""

    def __init__(
        self, key: str, settings: StreamSettings, tracks: frozenset[Track], link: Link
    ) -> None:
        self._key = key  # what the main process calls this life of the stream
        self._settings = settings
        self._link = link
        self._sink = LinkSink(link, key, tracks)
        self._pipeline: Pipeline | None = None  # once it is open
        self._stopped = False
        self._choosing = asyncio.Lock()  # one model after another
        self._steps: list[Step] | None = None  # of a model that was asked for

    async def run(self, engines: Engines) -> None:
        """Run it to its end; whatever goes wrong with it is told and ends no other stream."""
        name = self._settings.name
        protect(self._settings.input.url)
        telling = asyncio.create_task(self._tell(), name=f"status of {name}")
        try:
            with ExitStack() as stack:
                opening = open_pipeline(
                    self._settings, self._emit, [self._sink], engines, paced=True
                )
                self._pipeline = await asyncio.to_thread(stack.enter_context, opening)
                if self._steps is not None:
                    self._pipeline.use(self._steps)
                if self._stopped:
                    self._pipeline.stop()
                summary = await self._pipeline.run()
                self._link.send(Kind.STATUS, self._key, self._pipeline.status())
            self._link.send(Kind.SUMMARY, self._key, summary.to_json())
        except StreamsrError as error:
            code = 2 if isinstance(error, UserError) else 1
            self._fail(redact(error), code)
        except Exception as error:  # a fault of ours with one stream must not end the others
            log.error("stream %s: %s", name, redact(format_exc()))
            self._fail(f"{type(error).__name__}: {redact(error)}", None)
        finally:
            telling.cancel()

    def stop(self) -> None:
        """Have it deliver what it has read, and end."""
        self._stopped = True
        if self._pipeline is not None:
            self._pipeline.stop()

    def request_keyframe(self) -> None:
        if self._pipeline is not None:
            self._pipeline.request_keyframe()

    def want(self, tracks: Sequence[str]) -> None:
        self._sink.tracks = frozenset(map(Track, tracks))

    async def use(self, model: str, engines: Engines) -> None:
        """Go on with another model; where it cannot be loaded, with the one there is."""
        wanted = self._settings.model.model_copy(update={"name": model})
        async with self._choosing:
            try:
                self._steps = await asyncio.to_thread(ladder_of, wanted, engines)
            except StreamsrError as error:
                self._emit(Event(Code.MODEL_FAILED, self._settings.name, redact(error)))
                return
            if self._pipeline is not None:
                self._pipeline.use(self._steps)
        self._link.send(Kind.MODEL, self._key, model)

    def _fail(self, message: str, exit_code: int | None) -> None:
        self._link.send(Kind.FAILURE, self._key, {"message": message, "exit_code": exit_code})

    async def _tell(self) -> None:
        settings = self._settings
        starting = StreamStatus(settings.name, "starting", settings.model.name, "", "", "")
        while True:
            status = self._pipeline.status() if self._pipeline is not None else starting
            self._link.send(Kind.STATUS, self._key, status)
            await asyncio.sleep(STATUS_S)

    def _emit(self, event: Event) -> None:
        self._link.send(Kind.EVENT, self._key, event)


class Worker:
    """All streams of this process, on the engines of one device."""

    def __init__(self, link: Link, engines: Engines) -> None:
        self._link = link
        self._engines = engines
        self._streams: dict[str, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Do what the main process says; without it there is nobody to work for."""
        alive = asyncio.create_task(self._pulse(), name="pulse")
        while (message := await read(reader)) is not None and message.kind is not Kind.QUIT:
            self._obey(message)
        for stream in self._streams.values():
            stream.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_S)
        alive.cancel()

    def _obey(self, message: Message) -> None:
        name, body = message.stream, message.body
        if message.kind is Kind.START:
            settings = StreamSettings.model_validate(body["settings"])
            stream = Stream(name, settings, frozenset(map(Track, body["tracks"])), self._link)
            self._streams[name] = stream
            self._begin(self._keep(name, stream), f"stream {name}")
        elif (known := self._streams.get(name)) is None:
            return  # it has ended meanwhile
        elif message.kind is Kind.STOP:
            known.stop()
        elif message.kind is Kind.KEYFRAME:
            known.request_keyframe()
        elif message.kind is Kind.TRACKS:
            known.want(body)
        elif message.kind is Kind.MODEL:
            self._begin(known.use(body, self._engines), f"model of {name}")

    async def _keep(self, name: str, stream: Stream) -> None:
        try:
            await stream.run(self._engines)
        finally:
            del self._streams[name]
            self._link.forget(name)

    def _begin(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pulse(self) -> None:
        while True:
            self._link.send(Kind.ALIVE)
            await asyncio.sleep(STATUS_S)


async def _serve(connection: socket.socket, device: torch.device) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    link = Link(writer)
    await Worker(link, Engines(device)).run(reader)
    await asyncio.sleep(0)  # what was sent from this thread is written only now
    with suppress(ConnectionError):  # the main process may be gone
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    sys.stdout.flush()
    os._exit(0)  # a source or an engine that is stuck in a library must not keep the process


def main() -> None:
    """Run the worker of the device in ``sys.argv[2]`` on the file descriptor in ``sys.argv[1]``."""
    keep_freed_memory()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the main process's to act on
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), torch.device(sys.argv[2])))


if __name__ == "__main__":
    main()
