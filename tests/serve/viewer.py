"""A WHEP client on aiortc."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

__all__ = ["BEFORE_AFTER", "SDP", "Viewer", "candidates", "make_offer"]

SDP = {"Content-Type": "application/sdp"}
BEFORE_AFTER = ("video", "video", "audio")


def candidates(sdp: str) -> list[tuple[str, int, str]]:
    """The host, the port and the type of the candidates in a description."""
    lines = [line.split() for line in sdp.splitlines() if line.startswith("a=candidate:")]
    return [(words[4], int(words[5]), words[7]) for words in lines]


class Viewer:
    """Watches one stream from entering to leaving."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        kinds: Sequence[str] = BEFORE_AFTER,
        stream: str = "camera",
        keep: Callable[[str], bool] = lambda line: True,
    ) -> None:
        """``keep`` tells which lines of the answer it is to know of."""
        self.location = ""
        self._keep = keep
        self._http = http
        self._url = url
        self._stream = stream
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.transceivers = [self._pc.addTransceiver(k, direction="recvonly") for k in kinds]

    async def __aenter__(self) -> Self:
        await self._pc.setLocalDescription(await self._pc.createOffer())
        offer = self._pc.localDescription.sdp
        async with self._http.post(
            f"{self._url}whep/{self._stream}", data=offer, headers=SDP
        ) as response:
            text = await response.text()
            assert response.status == 201, text
            assert response.content_type == "application/sdp"
            self.location = urljoin(str(response.url), response.headers["Location"])
        self.answer = text
        known = "".join(f"{line}\r\n" for line in text.splitlines() if self._keep(line))
        await self._pc.setRemoteDescription(RTCSessionDescription(known, "answer"))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pc.close()

    @property
    def tracks(self) -> list[MediaStreamTrack]:
        return [transceiver.receiver.track for transceiver in self.transceivers]

    async def frame(self, track: int = 0) -> av.VideoFrame:
        """The next frame of a track."""
        async with asyncio.timeout(5):
            return await self.tracks[track].recv()

    async def ended(self) -> None:
        """Wait until the server has ended it."""
        try:
            while True:
                await self.tracks[0].recv()
        except MediaStreamError:
            pass

    async def lose_frames(self) -> None:
        """Report to the server that a frame of the first track was lost (PLI)."""
        ssrc = next(
            int(line.removeprefix("a=ssrc:").split()[0])
            for line in self.answer.splitlines()
            if line.startswith("a=ssrc:")
        )
        await self.transceivers[0].receiver._send_rtcp_pli(ssrc)

    def vanish(self) -> None:
        """Drop off the network without closing the connection."""
        ice = self.transceivers[0].receiver.transport.transport
        for protocol in ice._connection._protocols:
            protocol.transport.abort()


async def make_offer(*kinds: str, direction: str = "recvonly") -> str:
    """The offer of a client that never connects."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        pc.addTransceiver(kind, direction=direction)
    await pc.setLocalDescription(await pc.createOffer())
    text = pc.localDescription.sdp
    await pc.close()
    return text
