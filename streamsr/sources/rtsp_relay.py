"""A relay on loopback between FFmpeg and a camera of H.265: frames that lost a packet stay out.

FFmpeg does not say that RTP packets are missing. What it sends and is sent passes as it is, but for
the packets of damaged frames, and for UDP, which the relay speaks in its place.
"""

import contextlib
import re
import selectors
import socket
import struct
import threading
from time import monotonic
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from streamsr.bitstream.rtp import PacketOrder, WholeFrameFilter

__all__ = ["RtspRelay"]

HOST = "127.0.0.1"
TICK_S, REORDER_S = 0.5, 0.01  # between two looks at a stop, or at packets out of order
SEND_S = 10.0  # that either end may take no more
RECEIVE_BYTES = 1 << 21  # of UDP: keyframes come in bursts
PIECE = 1 << 16
MOST_BYTES = 1 << 20  # of one packet, request or answer
RTSP_PORT = 554
CODEC = re.compile(rb"a=rtpmap:(\d+) H265/", re.I)
TCP = re.compile(rb"RTP/AVP/TCP;[^\r\n]*?interleaved=(\d+)-(\d+)[^\r\n]*", re.I)
LENGTH = re.compile(rb"^Content-Length: *(\d+)", re.I | re.M)
TRANSPORT = re.compile(rb"^Transport: *([^\r\n]*)", re.I | re.M)


class RtspRelay:
    """Relays one connection to the camera at ``url``. Entered, it is connected; ``url`` is its own.

    Raises OSError where the camera cannot be reached.
    """

    def __init__(self, url: str, transport: str, timeout_s: float) -> None:
        place = urlsplit(url)
        self._by_udp = transport == "udp"
        self._camera = socket.create_connection(
            (place.hostname or "", place.port or RTSP_PORT), timeout_s
        )
        self._listener = socket.create_server((HOST, 0))
        own = f"{HOST}:{self._listener.getsockname()[1]}"
        login, at, _ = place.netloc.rpartition("@")
        self.url = place._replace(netloc=f"{login}{at}{own}").geturl()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtsp-relay", daemon=True)
        self._kinds: set[int] = set()  # payload types of H.265
        self._filter = WholeFrameFilter()
        self._order = PacketOrder()
        self._ports: dict[socket.socket, tuple[int, bool]] = {}  # of UDP: channel, video's RTP
        self._asked: tuple[int, int] | None = None  # channels of a SETUP that is not answered yet
        self._channel = 0  # that FFmpeg is sent video by, where the camera speaks UDP

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(2 * TICK_S)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._close_ports)
            stack.enter_context(self._camera)
            with self._listener:
                self._listener.settimeout(SEND_S)
                try:
                    client = stack.enter_context(self._listener.accept()[0])
                except OSError:
                    return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for end in (client, self._camera):
                end.settimeout(SEND_S)
            with contextlib.suppress(OSError):  # either end has gone, and the other is told
                self._relay(client, stack.enter_context(selectors.DefaultSelector()))

    def _close_ports(self) -> None:
        for port in self._ports:
            port.close()

    def _relay(self, client: socket.socket, selector: selectors.BaseSelector) -> None:
        """Passes on what comes until an end closes."""
        from_client, from_camera = bytearray(), bytearray()
        for end in (client, self._camera):
            selector.register(end, selectors.EVENT_READ)
        while not self._stop.is_set():
            for key, _ in selector.select(REORDER_S if self._order.waits else TICK_S):
                from_end = key.fileobj
                assert isinstance(from_end, socket.socket)
                data = from_end.recv(PIECE)
                if from_end in self._ports:
                    client.sendall(self._datagram(from_end, data))
                elif not data:
                    return
                elif from_end is client:
                    from_client += data
                    self._camera.sendall(self._requests(from_client, selector))
                else:
                    from_camera += data
                    client.sendall(self._answers(from_camera))
            client.sendall(self._framed(self._order.due(monotonic())))

    def _requests(self, buffer: bytearray, selector: selectors.BaseSelector) -> bytes:
        """Takes whole requests off the buffer; returns what the camera is to be sent."""
        passed = b""
        while (piece := _take(buffer)) is not None:
            found = TCP.search(piece)
            if piece[:1] == b"$":
                passed += b"" if self._by_udp else piece
            elif piece.startswith(b"SETUP") and found and self._by_udp:
                channels = int(found[1]), int(found[2])
                self._asked = channels
                ours = f"RTP/AVP;unicast;client_port={self._listen(channels, selector)}".encode()
                passed += piece.replace(found[0], ours)
            else:
                passed += piece
        return passed

    def _answers(self, buffer: bytearray) -> bytes:
        """Takes whole answers and packets off the buffer; returns what FFmpeg is to be sent."""
        passed = b""
        while (piece := _take(buffer)) is not None:
            if piece[:1] != b"$":
                self._kinds |= {int(kind) for kind in CODEC.findall(piece)}
                found = TRANSPORT.search(piece)
                if found and self._asked:
                    ours = "RTP/AVP/TCP;unicast;interleaved={}-{}".format(*self._asked)
                    piece, self._asked = piece.replace(found[1], ours.encode()), None
                passed += piece
            elif self._is_video(piece[4:]):
                passed += b"".join(_framed(piece[1], p) for p in self._filter.take(piece[4:]))
            else:
                passed += piece
        return passed

    def _datagram(self, port: socket.socket, packet: bytes) -> bytes:
        """Returns what FFmpeg is to be sent of a datagram."""
        channel, is_rtp = self._ports[port]
        if not is_rtp or not self._is_video(packet):
            return _framed(channel, packet)
        self._channel = channel
        return self._framed(self._order.take(packet, monotonic()))

    def _framed(self, packets: list[bytes]) -> bytes:
        whole = [done for packet in packets for done in self._filter.take(packet)]
        return b"".join(_framed(self._channel, packet) for packet in whole)

    def _is_video(self, packet: bytes) -> bool:
        """Whether it is RTP of H.265: reports (RTCP) have types of 200 and more (RFC 5761, 4)."""
        return len(packet) > 12 and packet[0] >> 6 == 2 and packet[1] & 127 in self._kinds

    def _listen(self, channels: tuple[int, int], selector: selectors.BaseSelector) -> str:
        """Opens a pair of ports, the first one even, for one track; returns their numbers."""
        while True:
            pair = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
            pair[0].bind(("", 0))
            first = pair[0].getsockname()[1]
            with contextlib.suppress(OSError):
                if first % 2 == 0:
                    pair[1].bind(("", first + 1))
                    break
            for port in pair:
                port.close()
        for port, channel in zip(pair, channels, strict=True):
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            self._ports[port] = channel, channel == channels[0]
            selector.register(port, selectors.EVENT_READ)
        return f"{first}-{first + 1}"


def _framed(channel: int, packet: bytes) -> bytes:
    """A packet as RTSP carries it beside its answers (RFC 2326, 10.12)."""
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def _take(buffer: bytearray) -> bytes | None:
    """Takes the first whole packet, request or answer off the buffer; None where none is whole.

    Raises OSError where what comes is none of them.
    """
    if len(buffer) > MOST_BYTES:
        raise OSError("it is not RTSP")
    if buffer[:1] == b"$":
        size = 4 + int.from_bytes(buffer[2:4], "big") if len(buffer) >= 4 else 4
    else:
        head = buffer.find(b"\r\n\r\n") + 4
        if head < 4:
            return None
        length = LENGTH.search(bytes(buffer[:head]))
        size = head + (int(length[1]) if length else 0)
    if not buffer or len(buffer) < size:
        return None
    piece = bytes(buffer[:size])
    del buffer[:size]
    return piece
