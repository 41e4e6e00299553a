"""A worker process: one pipeline, its pixels kept here, its packets sent to the main process.

Started as ``python -m streamsr.worker FD``, FD being its end of a socket pair. It ends when it is
told to, when its stream ends, or when the main process is gone.
"""

import asyncio
import os
import signal
import socket
import sys
from contextlib import ExitStack
from fractions import Fraction

from streamsr.building import open_pipeline
from streamsr.errors import StreamsrError, UserError
from streamsr.events import Event
from streamsr.media.audio import AudioEncoder
from streamsr.media.source import Sound, SourceInfo
from streamsr.metrics import Summary
from streamsr.packet import AUDIO, INPUT, OUTPUT, Packet
from streamsr.pipeline import Pipeline
from streamsr.redact import protect, redact
from streamsr.settings import PipelineSettings
from streamsr.status import StreamStatus
from streamsr.wire import Kind, Message, encode, encode_packet, read

__all__ = ["main"]

STATUS_S = 0.5
BACKLOG_BYTES = 8 * 1024 * 1024  # unsent: beyond it packets are dropped up to a keyframe


class Link:
    """The worker's end: messages out from any thread, in order, never waiting."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._skipping: set[str] = set()  # tracks that wait for a keyframe

    def send(self, message: Message) -> None:
        self._loop.call_soon_threadsafe(self._writer.write, encode(message))

    def emit(self, event: Event) -> None:
        self.send(Message(Kind.EVENT, event))

    def send_packet(self, packet: Packet) -> None:
        self._loop.call_soon_threadsafe(self._write_packet, packet)

    def _write_packet(self, packet: Packet) -> None:
        if self._writer.transport.get_write_buffer_size() > BACKLOG_BYTES:
            self._skipping |= {OUTPUT, INPUT}
        if packet.track in self._skipping:
            if not packet.keyframe:
                return
            self._skipping.discard(packet.track)
        self._writer.write(encode_packet(packet))


class LinkSink:
    """A pipeline's packets, its input's and its sound as Opus, over the link."""

    tracks = frozenset({OUTPUT, INPUT})

    def __init__(self, link: Link) -> None:
        self._link = link
        self._audio: AudioEncoder | None = None

    def open(self, keyframe: Packet, rate: Fraction, info: SourceInfo) -> None:
        if info.audio_codec:
            self._audio = AudioEncoder("libopus")

    def video(self, packet: Packet) -> None:
        self._link.send_packet(packet)

    def sound(self, sound: Sound) -> None:
        if self._audio is None:
            return
        for packet in self._audio.encode(sound):
            assert packet.pts is not None
            data = bytes(packet)
            self._link.send_packet(Packet(AUDIO, data, packet.pts, self._audio.time_base, True))

    def close(self) -> None:
        """The link is its owner's."""


async def _serve(connection: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    link = Link(writer)
    first = await read(reader)
    if first is None or first.kind is not Kind.SETTINGS:
        return
    settings = PipelineSettings.model_validate(first.body)
    protect(settings.input.url)
    telling = asyncio.create_task(_tell_starting(link, settings))
    try:
        with ExitStack() as stack:
            opening = open_pipeline(settings, link.emit, [LinkSink(link)])
            pipeline = await asyncio.to_thread(stack.enter_context, opening)
            telling.cancel()
            summary = await _run(pipeline, link, reader)
        link.send(Message(Kind.SUMMARY, summary.to_json()))
    except StreamsrError as error:
        code = 2 if isinstance(error, UserError) else 1
        link.send(Message(Kind.FAILURE, {"message": redact(error), "exit_code": code}))
    await asyncio.sleep(0)  # what was sent from this thread is written only now
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _run(pipeline: Pipeline, link: Link, reader: asyncio.StreamReader) -> Summary:
    listening = asyncio.create_task(_obey(reader, pipeline))
    telling = asyncio.create_task(_tell(link, pipeline))
    try:
        return await pipeline.run()
    finally:
        telling.cancel()
        listening.cancel()
        link.send(Message(Kind.STATUS, pipeline.status()))


async def _obey(reader: asyncio.StreamReader, pipeline: Pipeline) -> None:
    """Do what the main process says; without it there is nobody to work for."""
    while (message := await read(reader)) is not None and message.kind is not Kind.STOP:
        if message.kind is Kind.KEYFRAME:
            pipeline.request_keyframe()
    pipeline.stop()


async def _tell_starting(link: Link, settings: PipelineSettings) -> None:
    """Give signs of life while the model loads."""
    status = StreamStatus(settings.name, "starting", settings.model.name, "", "", "")
    while True:
        link.send(Message(Kind.STATUS, status))
        await asyncio.sleep(STATUS_S)


async def _tell(link: Link, pipeline: Pipeline) -> None:
    while True:
        link.send(Message(Kind.STATUS, pipeline.status()))
        await asyncio.sleep(STATUS_S)


def main() -> None:
    """Run the worker whose socket is the file descriptor in ``sys.argv[1]``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to act on
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))
    sys.stdout.flush()
    os._exit(0)  # a source that is stuck in a library must not keep the process


if __name__ == "__main__":
    main()
