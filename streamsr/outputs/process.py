"""An output's process: writes one output of one stream, with packets from the main process.

Started as ``python -m streamsr.outputs.process FD``, FD being its end of a socket pair. A peer may
block it for good, inside FFmpeg and with the GIL held: the main process then misses its heartbeat
and kills it. It tells why it fails, and never tries again by itself. Nothing heavy is imported: it
has to be back within a second of being started again.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from streamsr.core.events import Code
from streamsr.core.events.log import log_uncaught, set_up_log
from streamsr.core.packet import Packet
from streamsr.core.redact import protect
from streamsr.core.status import OutputState
from streamsr.ipc.framing import encode, take
from streamsr.ipc.messages import (
    FinishOutput,
    Message,
    OutputEvent,
    OutputFailed,
    OutputFormat,
    OutputPacket,
    OutputProgress,
    StartHls,
    StartRecorder,
    StartServer,
)
from streamsr.media.container import reason_of
from streamsr.outputs.fence import (
    Fence,
    LeaseFence,
    LeaseOverError,
    Unfenced,
    die_with,
    killing_fence,
)
from streamsr.outputs.hls import HlsWriter
from streamsr.outputs.mux_session import Muxer, MuxTarget
from streamsr.outputs.recorder import Recorder
from streamsr.outputs.reports import Reports, last_received_s

__all__ = ["ServerWriter", "main"]

PROGRESS_S = 0.25  # between reports to the main process
PROGRESS_PACKETS = 24  # or after so many, so that it can send on
READ_BYTES = 1 << 18


class ServerWriter:
    """An RTSP or RTMP server. ``transport``, "tcp" or "udp", is that of RTSP's media."""

    def __init__(self, url: str, transport: str, reports: Reports | None = None) -> None:
        """``reports`` are those of an RTSP server over TCP."""
        rtsp = urlsplit(url).scheme.lower().startswith("rtsp")
        if rtsp:
            target = MuxTarget(url, "rtsp", {"rtsp_transport": transport})
        else:
            target = MuxTarget(url, "flv", {"flvflags": "no_duration_filesize"})
        self._muxer = Muxer(lambda: target)
        self._opened_s: float | None = None  # monotonic: when packets began to flow
        self._reports = (reports or Reports()) if rtsp and transport == "tcp" else None

    @property
    def state(self) -> OutputState:
        """UP once packets have flowed for a moment: some servers take the header and hang up."""
        flows = self._opened_s is not None and monotonic() - self._opened_s >= PROGRESS_S
        return OutputState.UP if flows else OutputState.STARTING

    def write(self, packet: Packet, stream: OutputFormat) -> None:
        self._muxer.write(packet, stream)
        if self._opened_s is None and self._muxer.session is not None:
            self._opened_s = monotonic()

    def check(self) -> None:
        """Raises TimeoutError where an RTSP server has stopped reporting on what it gets."""
        if self._opened_s is None or self._reports is None:
            return
        received_s = last_received_s()
        if received_s is not None and self._reports.overdue(received_s, monotonic()):
            raise TimeoutError("the server does not report on the stream any more")

    def close(self) -> None:
        self._muxer.close()


PacketWriter = ServerWriter | HlsWriter | Recorder
"""What packets are written to. All of it raises av.FFmpegError or OSError where that fails.

``state`` is STARTING, UP (it takes packets) or DOWN (it waits, and goes on). ``check`` looks after
what is not of a packet; it is called several times a second.
"""


class MainProcess:
    """The main process, as seen from here: its messages one at a time, so that what is not taken
    stays with it."""

    def __init__(self, connection: socket.socket) -> None:
        self.gone = False
        self._connection = connection
        self._buffer = bytearray()

    def receive(self, wait_s: float | None = None) -> Message | None:
        """Waits for the next message; None where none came in time, or there will be none."""
        until_s = None if wait_s is None else monotonic() + wait_s
        while (message := take(self._buffer)) is None:
            left_s = None if until_s is None else max(0.0, until_s - monotonic())
            if self.gone or not select.select([self._connection], [], [], left_s)[0]:
                return None
            data = self._connection.recv(READ_BYTES)
            self.gone = not data
            self._buffer += data
        return message

    def send(self, message: Message) -> None:
        try:
            self._connection.sendall(encode(message))
        except OSError:
            self.gone = True


def run(main_process: MainProcess) -> None:
    """Writes packets until there are no more or the main process is gone; tells what goes wrong."""
    start = main_process.receive()
    if start is None:
        return
    writer: PacketWriter | None = None
    try:
        fence = fence_of(start)
        writer = writer_of(start, lambda code, text: main_process.send(OutputEvent(code, text)))
        taken = write_packets(main_process, writer, fence)
        if fence.holds() or not isinstance(writer, HlsWriter):
            writer.close()  # players end with a playlist, which another machine is to go on with
        main_process.send(OutputProgress(OutputState.OFF, taken))
    except Exception as error:  # the last message of this process: a traceback has secrets in it
        if isinstance(writer, Recorder):  # a server may never let go
            writer.abandon()
        main_process.send(OutputFailed(reason_of(error)))
        while not main_process.gone:  # hanging up first would lose that message
            main_process.receive()


def write_packets(main_process: MainProcess, writer: PacketWriter, fence: Fence) -> int:
    """Writes what the main process sends, and reports on it; returns how many packets it was.

    What comes while the fence does not hold is dropped. Raises LeaseOverError where it held before.
    """
    began = False  # to write
    taken = reported = 0  # packets
    reported_s = float("-inf")  # monotonic
    stream: OutputFormat | None = None
    while not main_process.gone:
        now_s, may_write = monotonic(), fence.holds()
        if began and not may_write:
            raise LeaseOverError
        if now_s - reported_s >= PROGRESS_S or taken - reported >= PROGRESS_PACKETS:
            reported, reported_s = taken, now_s
            writer.check()
            main_process.send(OutputProgress(writer.state, taken))
        message = main_process.receive(PROGRESS_S)
        match message:
            case OutputFormat():
                stream = message
            case OutputPacket(packet):
                assert stream is not None, "a stream's format comes before its first packet"
                taken += 1
                if fence.holds():
                    began = True
                    writer.write(packet, stream)
            case FinishOutput():
                break
    return taken


def writer_of(start: Message, tell: Callable[[Code, str], None]) -> PacketWriter:
    """Returns what the first message describes."""
    match start:
        case StartServer(url, transport):
            protect(url)
            return ServerWriter(url, transport)
        case StartHls(folder, segment_s, segments, _):
            os.chdir(folder)  # keeps odd names of folders out of FFmpeg's patterns
            return HlsWriter(Path(), segment_s, segments)
        case StartRecorder():
            return Recorder(start, tell)
    raise ValueError(f"first message: got {type(start).__name__}, allowed are Start…")


def fence_of(start: Message) -> Fence:
    """Returns what keeps the process to the lease that its first message names, where it may fork.

    Raises OSError where that is not there.
    """
    if isinstance(start, StartServer):
        die_with(start.parent_pid)
        return Unfenced() if start.lease is None else killing_fence(start.lease)
    if not isinstance(start, StartHls | StartRecorder) or start.lease is None:
        return Unfenced()
    return LeaseFence(start.lease)


def main() -> None:
    """Runs the output whose socket is the file descriptor in ``sys.argv[1]``."""
    # They go to the whole group: the main process says when to end, or ends and we see that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    set_up_log()
    log_uncaught()
    run(MainProcess(socket.socket(fileno=int(sys.argv[1]))))
    os._exit(0)  # a failed output is not to be closed once more: that may block


if __name__ == "__main__":
    main()
