"""Opens what a file's name or address stands for: a file, one that still grows, or a pipe."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import av
from av.stream import Stream

from streamsr.core.errors import InputError
from streamsr.core.redact import redact
from streamsr.media.address_failures import failure_at
from streamsr.media.addresses import InputKind, ffmpeg_name, input_kind
from streamsr.media.pipes import ByteReader, open_growing, open_pipe
from streamsr.media.source import METADATA
from streamsr.media.tracks.layouts import settle_layouts
from streamsr.sources.joined_ts import JoinedTransportStream, is_transport_stream

__all__ = ["demuxed", "is_multipart", "opened"]

OPTIONS = {"pattern_type": "none"}  # a "%d" in a name is no sequence of images
FAR = {"analyzeduration": "600000000", "probesize": "50000000"}  # of what begins late
BRIEF = {"analyzeduration": "0", "probesize": "5000"}  # µs, bytes
TIMEOUT = (10, 10)  # seconds for an address to open, and for its next bytes
IN_ORDER = "from a pipe, or while it grows, it is to be TS, Matroska or fragmented MP4"


@contextmanager
def opened(
    url: str,
    stop: threading.Event,
    follow_s: float | None = None,
    left_out: list[str] | None = None,
) -> Iterator[av.container.InputContainer]:
    """Opens a container to read, and closes it. Raises InputError where that fails; one that is
    raised inside says what can be read in order, where nothing else can.

    ``left_out`` is told what of a joined recording does not come, of what is read in order. What is
    waited for, as bytes of a pipe or of a file that grows (``follow_s``), ends at ``stop``.
    """
    reader = _reader(url, stop, follow_s, [] if left_out is None else left_out)
    if reader is None:
        with _resting(_container(url, ffmpeg_name(url), TIMEOUT)) as container:
            yield container
        return
    try:
        with closing(reader), _resting(_container(url, reader, None)) as container:
            reader.found = {stream.id for stream in container.streams}
            yield container
    except InputError as error:
        told = str(error) if reader.seekable() else f"{error}; {IN_ORDER}"
        raise InputError(told) from None


@contextmanager
def _resting(
    container: av.container.InputContainer,
) -> Iterator[av.container.InputContainer]:
    """Closes a container once its decoders rest.

    PyAV holds the interpreter while it closes them, and waits for their threads: one that frees a
    packet of Python's bytes meanwhile waits for the interpreter.
    """
    with container:
        try:
            yield container
        finally:
            for stream in container.streams.video:
                if stream.codec_context is not None:  # as of a codec that FFmpeg does not know
                    stream.codec_context.flush_buffers()


def demuxed(
    container: av.container.InputContainer, streams: Sequence[Stream]
) -> Iterator[av.Packet[Any]]:
    """Yields the packets of ``streams`` to the end, where PyAV raises IndexError for those that
    have begun since the container was opened."""
    try:
        yield from container.demux(streams)
    except IndexError:
        return


def is_multipart(url: str) -> bool:
    """Returns whether an address is a camera's that sends one JPEG after another, without an end
    (multipart/x-mixed-replace). Anything else is refused by its first bytes."""
    if not url.lower().startswith(("http://", "https://")):
        return False
    try:
        av.open(url, format="mpjpeg", options=BRIEF, timeout=TIMEOUT).close()
    except (av.FFmpegError, OSError, ValueError):
        return False
    return True


def _reader(
    url: str, stop: threading.Event, follow_s: float | None, left_out: list[str]
) -> JoinedTransportStream | None:
    """What Python reads for FFmpeg; None where FFmpeg reads by itself."""
    if input_kind(url) is InputKind.PIPE:
        return JoinedTransportStream(open_pipe(url, stop), left_out)
    if follow_s is not None:
        return JoinedTransportStream(open_growing(url, stop, follow_s), left_out)
    try:
        if Path(url).is_file() and is_transport_stream(Path(url)):
            return JoinedTransportStream(Path(url).open("rb"), left_out)
    except OSError:
        pass  # FFmpeg says why
    return None


def _container(
    url: str, file: str | ByteReader, timeout: tuple[int, int] | None
) -> av.container.InputContainer:
    try:
        container = _opened_as(file, timeout, OPTIONS)
        if _is_whole(url, file) and _begins_late(container):
            container.close()
            if isinstance(file, JoinedTransportStream):
                file.seek(0)
            return _opened_as(file, timeout, OPTIONS | FAR)
        return container
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = "it is empty" if _is_empty(url) else failure_at(url, error)
        raise InputError(f"input {redact(url)}: cannot be opened: {reason}") from None


def _is_empty(url: str) -> bool:
    try:
        return Path(url).is_file() and not Path(url).stat().st_size
    except OSError:
        return False


def _is_whole(url: str, file: str | ByteReader) -> bool:
    if isinstance(file, JoinedTransportStream):
        return file.seekable()
    return isinstance(file, str) and Path(url).is_file()


def _opened_as(
    file: str | ByteReader, timeout: tuple[int, int] | None, options: dict[str, str]
) -> av.container.InputContainer:
    container = av.open(file, "r", options=options, timeout=timeout, metadata_errors=METADATA)
    settle_layouts(container)
    return container


def _begins_late(container: av.container.InputContainer) -> bool:
    """Whether there is audio of which FFmpeg saw no packet: neither its rate nor its channels."""
    contexts = [audio.codec_context for audio in container.streams.audio]
    return any(context is not None and not context.sample_rate for context in contexts)
