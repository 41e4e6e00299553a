"""An RTSP camera of this process whose every packet a test decides on: ``ScriptedCamera``.

It speaks RTP over TCP and UDP (RFC 2326, 6184, 7798), asks for no password, and sends the access
units that it is given, over and over, at any rate from any place. What it refuses, leaves out or
holds back is said in its constructor.
"""

import asyncio
import io
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av

from .tcp import HOST, _Server

__all__ = ["ScriptedCamera", "access_units"]

MTU = 1200


def access_units(path: Path) -> list[bytes]:
    """A clip's access units in Annex B, as RTSP and our own encoder have them."""
    memory = io.BytesIO()
    with av.open(str(path)) as source, av.open(memory, "w", format="mpegts") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    memory.seek(0)
    with av.open(memory, format="mpegts") as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


class ScriptedCamera(_Server):
    """Serves ``units`` at ``rate`` a second, from number ``first`` on to each client.

    - ``codec``: "H264" or "H265"
    - ``transports``: those that it speaks; others are answered by 461
    - ``refused``: tracks ("video", "metadata", "audio") whose SETUP it answers by 461
    - ``metadata``, ``audio``, ``twin``: it offers an ONVIF track, on which nothing comes, one of
      G.711 with video's payload type, or a second one of the same video
    - ``keep(unit, packet, packets)``: whether a packet of RTP is sent
    - ``silent_after``: units, after which nothing comes any more
    - ``tls``: it speaks that (``rtsps://``)
    - ``status(request)``: what the first line of a request is answered with, "" for success
    """

    def __init__(
        self,
        units: Sequence[bytes],
        *,
        rate: float = 25.0,
        codec: str = "H264",
        first: int = 0,
        transports: Sequence[str] = ("tcp", "udp"),
        refused: Sequence[str] = (),
        metadata: bool = False,
        audio: bool = False,
        twin: bool = False,
        keep: Callable[[int, int, int], bool] = lambda unit, packet, packets: True,
        silent_after: int | None = None,
        status: Callable[[str], str] = lambda request: "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.units = units
        self.rate = rate
        self.codec = codec
        self.first = first
        self.transports = transports
        self.refused = refused
        self.metadata = metadata
        self.audio = audio
        self.twin = twin
        self.keep = keep
        self.silent_after = silent_after
        self.status = status
        self.requests: list[str] = []  # their first lines

    @property
    def url(self) -> str:
        return f"rtsp{'s' if self.tls else ''}://{HOST}:{self.port}/cam"

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        senders: dict[str, _Sender] = {}
        playing: asyncio.Task[None] | None = None
        try:
            while True:
                head = await _next_request(reader)
                self.requests.append(head.partition("\r\n")[0])
                transport = ""
                if head.startswith("SETUP"):
                    sender = _Sender.of(head, writer, sequence=60_000 - 20_000 * len(senders))
                    senders[head.split(" ", 2)[1].rpartition("/")[2]] = sender
                    transport = sender.transport
                writer.write(self._answer(head, transport))
                await writer.drain()
                if head.startswith("PLAY") and senders:
                    playing = asyncio.create_task(self._play(senders))
        except asyncio.IncompleteReadError:
            return
        finally:
            if playing is not None:
                playing.cancel()
            for sender in senders.values():
                sender.close()

    def _answer(self, head: str, transport: str) -> bytes:
        """What a request is answered with."""
        method, url, _ = head.split(" ", 2)
        refusal = self.status(head.partition("\r\n")[0])
        status, fields, body = refusal or "200 OK", "Session: 77\r\n", ""
        if method == "DESCRIBE":
            body = self._description()
            fields = f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n"
            fields += f"Content-Length: {len(body)}\r\n"
        elif method == "SETUP":
            kind = "tcp" if "TCP" in head else "udp"
            fields += f"Transport: {transport}\r\n"
            if kind not in self.transports or url.rpartition("/")[2] in self.refused:
                status = "461 Unsupported Transport"
        number = re.search(r"CSeq: *(\d+)", head, re.I)
        assert number is not None
        return f"RTSP/1.0 {status}\r\nCSeq: {number[1]}\r\n{fields}\r\n{body}".encode()

    def _description(self) -> str:
        video = f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {self.codec}/90000\r\n"
        if self.codec == "H264":
            video += "a=fmtp:96 packetization-mode=1\r\n"
        twin = f"{video}a=control:twin\r\n" if self.twin else ""
        video += "a=control:video\r\n"
        data = "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n"
        data += "a=control:metadata\r\n"
        head = f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=cam\r\nt=0 0\r\na=control:*\r\n"
        audio = "m=audio 0 RTP/AVP 96\r\na=rtpmap:96 PCMU/8000\r\na=control:audio\r\n"
        return head + (data if self.metadata else "") + video + twin + (audio if self.audio else "")

    async def _play(self, senders: "dict[str, _Sender]") -> None:
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while self.silent_after is None or number < self.silent_after:
            unit = self.units[(self.first + number) % len(self.units)]
            payloads = list(self._payloads(unit))
            for place, payload in enumerate(payloads):
                keep = self.keep(number, place, len(payloads))
                time, last = round(number * 90_000 / self.rate), place == len(payloads) - 1
                for name in ("video", "twin"):
                    if name in senders:
                        await senders[name].rtp(payload, time, last=last, keep=keep)
            if "audio" in senders:
                silence = bytes([0xFF]) * round(8000 / self.rate)
                await senders["audio"].rtp(silence, number * len(silence), last=False)
            number += 1
            await asyncio.sleep(max(0, began + number / self.rate - loop.time()))
        await asyncio.Event().wait()

    def _payloads(self, unit: bytes) -> Iterator[bytes]:
        """An access unit in payloads: NAL units as they are, or in fragments (FU)."""
        for nal in re.split(rb"\x00*\x00\x00\x01", unit)[1:]:
            if len(nal) <= MTU:
                yield nal
                continue
            if self.codec == "H264":
                head, kind, body = bytes([nal[0] & 0xE0 | 28]), nal[0] & 0x1F, nal[1:]
            else:
                head, kind, body = bytes([nal[0] & 0x81 | 98, nal[1]]), nal[0] >> 1 & 63, nal[2:]
            for at in range(0, len(body), MTU):
                start = 0x80 if at == 0 else 0
                end = 0x40 if at + MTU >= len(body) else 0
                yield head + bytes([start | end | kind]) + body[at : at + MTU]


async def _next_request(reader: asyncio.StreamReader) -> str:
    """The head of the next request; what the client reports of RTP in between is passed over."""
    while (first := await reader.readexactly(1)) == b"$":
        _, size = struct.unpack(">BH", await reader.readexactly(3))
        await reader.readexactly(size)
    return (first + await reader.readuntil(b"\r\n\r\n")).decode()


class _Sender:
    """Where one client's RTP goes: into its connection, or to its port."""

    def __init__(
        self,
        transport: str,
        writer: asyncio.StreamWriter,
        port: int,
        channel: int,
        sequence: int,
    ) -> None:
        self.transport = transport  # as SETUP is answered
        self._writer = writer
        self._port = port
        self._channel = channel
        self._sequence = sequence
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if port else None
        if self._socket is not None:
            self._socket.bind((HOST, 0))
            own = self._socket.getsockname()[1]
            self.transport += f";server_port={own}-{own + 1}"

    @classmethod
    def of(cls, request: str, writer: asyncio.StreamWriter, sequence: int) -> "_Sender":
        if found := re.search(r"interleaved=(\d+)", request):
            channel = int(found[1])
            ours = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"
            return cls(ours, writer, 0, channel, sequence)
        found = re.search(r"client_port=(\d+)", request)
        assert found is not None
        port = int(found[1])
        ours = f"RTP/AVP;unicast;client_port={port}-{port + 1}"
        return cls(ours, writer, port, 0, sequence)

    async def rtp(self, payload: bytes, time: int, *, last: bool, keep: bool = True) -> None:
        """Sends a packet of payload type 96, or leaves its number out."""
        self._sequence += 1
        if not keep:
            return
        head = (0x80, 96 | 0x80 * last, self._sequence & 0xFFFF, time & 0xFFFFFFFF, 7)
        packet = struct.pack(">BBHII", *head) + payload
        if self._socket is not None:
            self._socket.sendto(packet, (HOST, self._port))
            return
        self._writer.write(struct.pack(">cBH", b"$", self._channel, len(packet)) + packet)
        await self._writer.drain()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
