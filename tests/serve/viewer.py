"""A WHEP client on aiortc."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import aiohttp
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

__all__ = ["BEFORE_AFTER", "SDP", "Viewer", "make_offer"]

SDP = {"Content-Type": "application/sdp"}
BEFORE_AFTER = ("video", "video", "audio")


class Viewer:
    """Watches one stream from entering to leaving."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        kinds: Sequence[str] = BEFORE_AFTER,
        stream: str = "camera",
    ) -> None:
        self.location = ""
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
            self.location = self._url.rstrip("/") + response.headers["Location"]
        await self._pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
        self.answer = text
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


async def make_offer(*kinds: str) -> str:
    """The offer of a client that never connects."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        pc.addTransceiver(kind, direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    text = pc.localDescription.sdp
    await pc.close()
    return text
