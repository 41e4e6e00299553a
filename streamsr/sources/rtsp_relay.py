"""A relay on loopback between FFmpeg and a camera of H.265: frames that lost a packet stay out.

FFmpeg does not say that RTP packets are missing. What it sends and is sent passes as it is, but for
the packets of damaged frames, and for UDP and TLS, which the relay speaks in its place.
"""

import contextlib
import re
import selectors
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from time import monotonic
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
PORTS = {"rtsp": 554, "rtsps": 322}
CONTROL = re.compile(rb"^a=control: *([^\r\n]*)", re.M)
CODEC = re.compile(rb"a=rtpmap:(\d+) H265/", re.I)
TCP = re.compile(rb"RTP/AVP/TCP;[^\r\n]*?interleaved=(\d+)-(\d+)[^\r\n]*", re.I)
CHANNELS = re.compile(rb"interleaved=(\d+)")
LENGTH = re.compile(rb"^Content-Length: *(\d+)", re.I | re.M)
TRANSPORT = re.compile(rb"^Transport: *([^\r\n]*)", re.I | re.M)


@dataclass(slots=True)
class _Track:
    """One track, whose packets are numbered by themselves."""

    channel: int  # of its RTP, towards FFmpeg
    kinds: frozenset[int]  # payload types of H.265
    filter: WholeFrameFilter = field(default_factory=WholeFrameFilter)
    order: PacketOrder = field(default_factory=PacketOrder)  # over UDP

    def has(self, packet: bytes) -> bool:
        """Whether it is RTP of H.265."""
        return len(packet) > 12 and packet[0] >> 6 == 2 and packet[1] & 127 in self.kinds

    def whole(self, packets: list[bytes]) -> bytes:
        """Takes packets in order; returns those that go on, as FFmpeg is sent them."""
        done = [passed for packet in packets for passed in self.filter.take(packet)]
        return b"".join(_framed(self.channel, packet) for packet in done)


class RtspRelay:
    """Relays one connection to the camera at ``url``. Entered, it is connected; ``url`` is its own.

    Raises OSError where the camera cannot be reached.
    """

    def __init__(self, url: str, transport: str, timeout_s: float) -> None:
        place = urlsplit(url)
        self._by_udp = transport == "udp" and place.scheme == "rtsp"  # as FFmpeg has it
        host, port = place.hostname or "", place.port or PORTS[place.scheme]
        self._camera = socket.create_connection((host, port), timeout_s)
        if place.scheme == "rtsps":
            self._camera = _secured(self._camera, host)
        self._listener = socket.create_server((HOST, 0))
        own = f"{HOST}:{self._listener.getsockname()[1]}"
        login, at, _ = place.netloc.rpartition("@")
        self.url = place._replace(scheme="rtsp", netloc=f"{login}{at}{own}").geturl()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtsp-relay", daemon=True)
        self._kinds: dict[bytes, frozenset[int]] = {}  # by the track's address: see _Track
        self._tracks: dict[int, _Track] = {}  # by their RTP's channel
        self._ports: dict[socket.socket, int] = {}  # of UDP: channel
        self._asked: tuple[bytes, int, int] | None = None  # the SETUP that is not answered yet

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
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
            for key, _ in selector.select(REORDER_S if self._wait() else TICK_S):
                from_end = key.fileobj
                assert isinstance(from_end, socket.socket)
                data = _received(from_end)
                if data is None:
                    continue
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
            for track in self._tracks.values():
                client.sendall(track.whole(track.order.due(monotonic())))

    def _wait(self) -> bool:
        """Whether packets are held for one that may still come."""
        return any(track.order.waits for track in self._tracks.values())

    def _requests(self, buffer: bytearray, selector: selectors.BaseSelector) -> bytes:
        """Takes whole requests off the buffer; returns what the camera is to be sent."""
        passed = b""
        while (piece := _take(buffer)) is not None:
            found = TCP.search(piece)
            if piece[:1] == b"$":
                passed += b"" if self._by_udp else piece
                continue
            if piece.startswith(b"SETUP") and found:
                self._asked = piece.split()[1], int(found[1]), int(found[2])
                if self._by_udp:
                    ports = self._listen(self._asked[1:], selector)
                    ours = f"RTP/AVP;unicast;client_port={ports}".encode()
                    piece = piece.replace(found[0], ours)
            passed += piece
        return passed

    def _answers(self, buffer: bytearray) -> bytes:
        """Takes whole answers and packets off the buffer; returns what FFmpeg is to be sent."""
        passed = b""
        while (piece := _take(buffer)) is not None:
            if piece[:1] != b"$":
                self._kinds.update(_kinds(piece))
                passed += self._set_up(piece)
                continue
            track = self._tracks.get(piece[1])
            packet = piece[4:]
            passed += track.whole([packet]) if track and track.has(packet) else piece
        return passed

    def _set_up(self, answer: bytes) -> bytes:
        """Takes a track's channel from the answer to its SETUP; returns what FFmpeg is told."""
        found = TRANSPORT.search(answer)
        if found is None or self._asked is None:
            return answer
        (address, first, second), self._asked = self._asked, None
        if self._by_udp:
            ours = f"RTP/AVP/TCP;unicast;interleaved={first}-{second}"
            answer = answer.replace(found[1], ours.encode())
        elif told := CHANNELS.search(found[1]):  # the camera's word counts (RFC 2326, 12.39)
            first = int(told[1])
        self._tracks[first] = _Track(first, self._kinds_of(address))
        return answer

    def _kinds_of(self, address: bytes) -> frozenset[int]:
        """The payload types of H.265 that a track has, by the longest name that fits."""
        fitting = [name for name in self._kinds if address.endswith(name)]
        return self._kinds[max(fitting, key=len)] if fitting else frozenset()

    def _datagram(self, port: socket.socket, packet: bytes) -> bytes:
        """Returns what FFmpeg is to be sent of a datagram."""
        channel = self._ports[port]
        track = self._tracks.get(channel)
        if track is None or not track.has(packet):
            return _framed(channel, packet)
        return track.whole(track.order.take(packet, monotonic()))

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
            self._ports[port] = channel
            selector.register(port, selectors.EVENT_READ)
        return f"{first}-{first + 1}"


def _secured(camera: socket.socket, host: str) -> ssl.SSLSocket:
    """Returns TLS over a connection, whatever its certificate: FFmpeg too takes a camera's own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # short keys, and older ones
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    try:
        return context.wrap_socket(camera, server_hostname=host)
    except OSError:
        camera.close()
        raise


def _received(end: socket.socket) -> bytes | None:
    """Returns what an end that can be read has sent, b"" at its end; None where that is of TLS."""
    end.settimeout(0)  # there need not be any of ours in what has come
    try:
        data = end.recv(PIECE)
        while isinstance(end, ssl.SSLSocket) and data and end.pending():
            data += end.recv(PIECE)
    except ssl.SSLWantReadError:
        return None
    finally:
        end.settimeout(SEND_S)
    return data


def _kinds(description: bytes) -> dict[bytes, frozenset[int]]:
    """The payload types of H.265 of each track of a description, by the track's address.

    Each track has its own: audio may have the same numbers (RFC 4566, 5.14). One without an address
    (RFC 2326, C.1.1) is named by nothing.
    """
    found: dict[bytes, frozenset[int]] = {}
    for track in re.split(rb"^m=", description, flags=re.M)[1:]:
        control = CONTROL.search(track)
        name = control[1].strip() if control else b""
        found[name] = frozenset(int(kind) for kind in CODEC.findall(track))
    return found


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
