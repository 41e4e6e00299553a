"""A publisher process: one output of one stream, fed with packets by the main process.

Started as ``python -m streamsr.outputs.process FD``, FD being its end of a socket pair. A peer may
block it for good, inside FFmpeg and with the GIL held: the main process then misses its word and
kills it. It says why it fails, and never tries again by itself. Nothing heavy is imported here: it has
to be back within a second of being started anew.
"""

import ctypes
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from streamsr.core.events import Code
from streamsr.core.packet import Packet
from streamsr.core.redact import protect
from streamsr.ipc.feed import Kind, decode, encode
from streamsr.ipc.framing import take_frame
from streamsr.media.container import reason_of
from streamsr.outputs.broadcast import Broadcast, server_of
from streamsr.outputs.hls import HlsFolder
from streamsr.outputs.recorder import Recorder
from streamsr.outputs.reports import Reports, last_heard

__all__ = ["main"]

WORD_S = 0.25  # between words to the main process
WORD_PACKETS = 24  # or after so many, so that it can send on
LINGER_S = 2.0  # for the last word to be heard
PR_SET_PDEATHSIG = 1  # prctl(2)


class Output(Protocol):
    """What packets are written to. Raises av.FFmpegError or OSError where it fails."""

    def write(self, packet: Packet, rate: Fraction | None, audio: bool) -> None: ...

    def tick(self) -> None:
        """Look after what is not of a packet; called several times a second."""

    def state(self) -> str:
        """One of "starting", "up" (it takes packets) and "down" (it waits, and goes on)."""

    def close(self) -> None: ...


class ServerOutput:
    """RTSP or RTMP."""

    def __init__(self, url: str, transport: str) -> None:
        self._broadcast = Broadcast(lambda: server_of(url, transport))
        self._opened: float | None = None  # monotonic: when packets began to flow
        self._reports = Reports()
        self._reporting = url.lower().startswith("rtsp") and transport == "tcp"

    def write(self, packet: Packet, rate: Fraction | None, audio: bool) -> None:
        self._broadcast.write(packet, rate, audio)
        if self._opened is None and self._broadcast.opened:
            self._opened = monotonic()

    def tick(self) -> None:
        """Raise TimeoutError where an RTSP server has stopped reporting on what it gets."""
        now = monotonic()
        if self._opened is None or not self._reporting or not self._reports.due(now):
            return
        heard = last_heard()
        if heard is not None and self._reports.overdue(heard, now):
            raise TimeoutError("the server does not report on the stream any more")

    def state(self) -> str:
        # Some servers take the header and then hang up: they were never up.
        flows = self._opened is not None and monotonic() - self._opened >= WORD_S
        return "up" if flows else "starting"

    def close(self) -> None:
        self._broadcast.close()


class HlsOutput:
    """HLS in the working directory, which keeps odd names of folders out of FFmpeg's patterns."""

    def __init__(self, segment_s: float, segments: int) -> None:
        self._folder = HlsFolder(Path(), segment_s, segments)
        self._broadcast = Broadcast(self._folder.next_target)

    def write(self, packet: Packet, rate: Fraction | None, audio: bool) -> None:
        self._broadcast.write(packet, rate, audio)

    def tick(self) -> None:
        self._folder.tidy()

    def state(self) -> str:
        return "up" if self._folder.playable else "starting"

    def close(self) -> None:
        self._broadcast.close()
        self._folder.tidy()
        self._folder.end()


class RecordOutput(Recorder):
    """A recording, with a word for its state."""

    def state(self) -> str:
        if self.full:
            return "down"
        return "up" if self.opened else "starting"


class Inbox:
    """Messages of the main process, one at a time, so that what is not taken stays with it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.ended = False  # the main process is gone

    def next(self, wait_s: float) -> tuple[Kind, Any] | None:
        """The next message; None where none came in time, or there will be none."""
        until = monotonic() + wait_s
        while (frame := take_frame(self._buffer)) is None:
            rest = max(0.0, until - monotonic())
            if self.ended or not select.select([self._connection], [], [], rest)[0]:
                return None
            data = self._connection.recv(1 << 18)
            self.ended = not data
            self._buffer += data
        return decode(frame)

    def discard(self, wait_s: float) -> None:
        """Throw messages away until the main process hangs up: hanging up first loses our words."""
        until = monotonic() + wait_s
        while not self.ended and monotonic() < until:
            self.next(until - monotonic())


class Publisher:
    """Takes packets until it is told to stop or the main process is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._inbox = Inbox(connection)
        self._taken = 0  # packets, all in all
        self._said = (0.0, 0)  # when the last word went out (monotonic), and of how many packets
        self._rate: Fraction | None = None
        self._audio = False

    def run(self) -> None:
        """The whole of it; whatever goes wrong is told to the main process."""
        job = self._job()
        if job is None:
            return
        output: Output | None = None
        try:
            output = output_of(job, self.tell)
            self._feed(output)
            output.close()
            self._say(Kind.PROGRESS, {"state": "ended", "taken": self._taken})
        except Exception as error:  # the last words of this process: a traceback has secrets in it
            if isinstance(output, RecordOutput):  # a server may never let go
                output.abandon()
            self._say(Kind.FAILURE, {"reason": reason_of(error)})
            self._inbox.discard(LINGER_S)
        if self._inbox.ended and job["temporary"]:
            shutil.rmtree(job["settings"]["folder"], ignore_errors=True)

    def tell(self, code: Code, message: str) -> None:
        self._say(Kind.EVENT, {"code": code, "message": message})

    def _job(self) -> dict[str, Any] | None:
        while not self._inbox.ended:
            message = self._inbox.next(WORD_S)
            if message is not None:
                return dict(message[1]) if message[0] is Kind.JOB else None
        return None

    def _feed(self, output: Output) -> None:
        while not self._inbox.ended:
            self._report(output)
            message = self._inbox.next(WORD_S)
            output.tick()
            if message is None:
                continue
            kind, body = message
            if kind is Kind.STOP:
                return
            if kind is Kind.FACTS:
                rate, self._audio = body["rate"], body["audio"]
                self._rate = Fraction(rate).limit_denominator(1001) if rate else None
            elif kind is Kind.PACKET:
                output.write(body, self._rate, self._audio)
                self._taken += 1

    def _report(self, output: Output) -> None:
        said_at, said = self._said
        now = monotonic()
        if now - said_at >= WORD_S or self._taken - said >= WORD_PACKETS:
            self._said = (now, self._taken)
            self._say(Kind.PROGRESS, {"state": output.state(), "taken": self._taken})

    def _say(self, kind: Kind, body: dict[str, Any]) -> None:
        try:
            self._connection.sendall(encode(kind, body))
        except OSError:
            self._inbox.ended = True


def output_of(job: dict[str, Any], tell: Callable[[Code, str], None]) -> Output:
    """The output that a job describes."""
    settings = job["settings"]
    if job["kind"] == "hls":
        os.chdir(settings["folder"])
        return HlsOutput(settings["segment_s"], settings["segments"])
    if job["kind"] == "record":
        days = settings["keep_days"]
        return RecordOutput(
            job["stream"],
            Path(settings["folder"]),
            settings["segment_s"],
            tell,
            keep_s=None if days is None else days * 86_400,
            min_free_bytes=round(settings["min_free_gb"] * 1e9),
        )
    protect(settings["url"])
    die_with(job["parent"])
    return ServerOutput(settings["url"], settings["transport"])


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent is gone: a peer may hold it in FFmpeg.

    Files are no peers: a process that writes some sees the end of its socket, and finishes them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def main() -> None:
    """Run the publisher whose socket is the file descriptor in ``sys.argv[1]``."""
    # They go to the whole group: the main process says when to end, or ends and we see that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Publisher(socket.socket(fileno=int(sys.argv[1]))).run()
    os._exit(0)  # a failed output is not to be closed once more: that may block


if __name__ == "__main__":
    main()
