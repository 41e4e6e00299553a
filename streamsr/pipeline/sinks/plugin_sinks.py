"""Sinks of somebody else's code, as sinks of a pipeline."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import iscoroutinefunction
from itertools import chain
from typing import Self

import numpy as np

from streamsr.core.errors import OutputError, StreamsrError
from streamsr.core.frame import Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.redact import redact
from streamsr.core.settings import SinkSettings
from streamsr.media.audio import AudioEncoder
from streamsr.media.pixels import rgb_of
from streamsr.media.source import AudioFrame, Piece, SourceInfo
from streamsr.pipeline.check import sink_plugin
from streamsr.pipeline.delivery import FrameSink, PacketSink
from streamsr.plugins.contracts import Image, Sink
from streamsr.plugins.registry import told

__all__ = ["OpenedSink", "closed", "opened_sinks"]

logger = logging.getLogger("streamsr")


@dataclass(frozen=True, slots=True)
class OpenedSink:
    """What a sink takes, and whose it is, for messages."""

    name: str
    write: Callable[[Image, float], None] | None
    packet: Callable[[Packet], None] | None
    close: Callable[[], None]

    @classmethod
    def of(cls, sink: Sink, name: str) -> Self:
        """Looks at a sink. Raises OutputError where it is none."""
        found = [getattr(sink, method, None) for method in ("write", "packet", "close")]
        write, packet, close = (method if callable(method) else None for method in found)
        is_class = isinstance(sink, type)  # whose methods want an object
        if close is None or (write is None and packet is None) or is_class:
            got = f"the class {getattr(sink, '__name__', '')}" if is_class else type(sink).__name__
            raise OutputError(
                f"{name}: got {got}, allowed is an object with write() or packet(), and close(): a "
                "streamsr.ImageSink or a streamsr.EncodedSink"
            )
        for method in (write, packet, close):
            if iscoroutinefunction(method):
                raise OutputError(
                    f"{name}: got an async {method.__name__}(), allowed is a plain method: it is "
                    "called in a thread, where asyncio.run_coroutine_threadsafe reaches a loop"
                )
        return cls(name, write, packet, close)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Says of any failure inside whose it is. Raises OutputError."""
        try:
            yield
        except OutputError as error:
            raise OutputError(f"{self.name}: {redact(error)}") from error
        except (Exception, SystemExit) as error:  # it is others' code: whatever it raises
            logger.debug("%s", self.name, exc_info=error)
            raise OutputError(f"{self.name}: {told(error)}") from error


@contextmanager
def opened_sinks(
    settings: Iterable[SinkSettings], sinks: Iterable[OpenedSink]
) -> Iterator[tuple[list[FrameSink], list[PacketSink]]]:
    """Makes the sinks that ``settings`` name; gives them with ``sinks``, by what they take.

    Leaving the context closes those that were not. Raises OutputError.
    """
    with ExitStack() as stack:
        frames: list[FrameSink] = []
        packets: list[PacketSink] = []
        for sink in chain(sinks, map(_made, settings)):
            closing = _Closing(sink, ends=(sink.write is not None) + (sink.packet is not None))
            stack.callback(closing.close_now)
            if sink.write is not None:
                frames.append(_Images(sink.write, closing))
            if sink.packet is not None:
                packets.append(_Packets(sink.packet, closing))
        yield frames, packets


def _made(settings: SinkSettings) -> OpenedSink:
    plugin = sink_plugin(settings)
    factory = plugin.load()
    try:
        sink = factory(settings.url)
    except StreamsrError:
        raise
    except (Exception, SystemExit) as error:  # as above
        raise plugin.fault(told(error)) from error
    return OpenedSink.of(sink, str(plugin))


def closed(sink: OpenedSink) -> None:
    """Closes a sink; what goes wrong then is logged, for another failure may be on its way."""
    try:
        with sink.guarded():
            sink.close()
    except OutputError as error:
        logger.warning("%s", error)


class _Closing:
    """A sink that is closed once: by the last of its ends."""

    def __init__(self, sink: OpenedSink, ends: int) -> None:
        self.guarded = sink.guarded
        self._sink = sink
        self._ends = ends

    def close(self) -> None:
        """Raises OutputError where it cannot be ended."""
        self._ends -= 1
        if self._ends == 0:
            with self.guarded():
                self._sink.close()

    def close_now(self) -> None:
        """Closes it unless that has been done."""
        if self._ends > 0:
            self._ends = 0
            closed(self._sink)


class _Images:
    """The end of an ImageSink, as a FrameSink."""

    not_kept = ()

    def __init__(self, write: Callable[[Image, float], None], closing: _Closing) -> None:
        self.close = closing.close
        self._write, self._guarded = write, closing.guarded

    def write(self, frame: Frame, info: SourceInfo) -> None:
        with self._guarded():
            self._write(np.array(rgb_of(frame), np.uint8, order="C"), frame.time_s)


class _Packets:
    """The end of an EncodedSink, as a PacketSink."""

    tracks = frozenset({Track.OUTPUT, Track.AAC})
    keeps_all = False
    not_kept = ()

    def __init__(self, packet: Callable[[Packet], None], closing: _Closing) -> None:
        self.close = closing.close
        self._packet, self._guarded = packet, closing.guarded
        self._encoder = AudioEncoder("aac")
        self._begun = False  # audio alone is no stream

    def video(self, packet: Packet, info: SourceInfo, size: tuple[int, int]) -> None:
        self._begun = True
        self._take(packet)

    def audio(self, audio: AudioFrame) -> None:
        for packet in self._encoder.encode(audio) if self._begun else ():
            assert packet.pts is not None
            self._take(Packet(Track.AAC, bytes(packet), packet.pts, packet.time_base, True))

    def other(self, piece: Piece) -> None:
        """Leaves out what only a file keeps."""

    def _take(self, packet: Packet) -> None:
        with self._guarded():
            self._packet(packet)
