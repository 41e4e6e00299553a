"""WHEP as MediaMTX and go2rtc ask for it, by what their sources say that they send and want."""

from urllib.parse import urljoin

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from broadcast import OUTPUT_SIZE, Broadcast

from streamsr.serve.access.access import Access
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server

TOKEN = Token("mediamtx", "view", "the-token-of-another-server")
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
ACCESS = Access(Secrets(tokens=(TOKEN,)))


async def test_mediamtx_as_its_whep_client_does(http: aiohttp.ClientSession) -> None:
    """internal/protocols/whip/client.go of MediaMTX: it gives up where one of these is missing."""
    bearer = {"Authorization": f"Bearer {TOKEN.secret}"}
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, access=ACCESS) as server,
    ):
        url = f"{server.url}whep/camera"
        async with http.options(url, headers=bearer) as response:
            assert response.status in (200, 204)
        connection, offer = await _offer()
        async with http.post(url, data=offer, headers=bearer | SDP) as response:
            assert response.status == 201
            assert response.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
            tag, answer = response.headers["ETag"], await response.text()
            assert tag
            location = urljoin(url, response.headers["Location"])
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        found = ("a=ice-ufrag:", "a=ice-pwd:", "m=video", "a=mid:0", "a=candidate:")
        lines = (next(x for x in offer.splitlines() if x.startswith(head)) for head in found)
        trickled = "".join(f"{line}\r\n" for line in lines)
        headers = bearer | FRAGMENT | {"If-Match": tag}
        async with http.patch(location, data=trickled, headers=headers) as response:
            assert response.status == 204, await response.text()
        frame = await connection.getTransceivers()[0].receiver.track.recv()
        assert (frame.width, frame.height) == OUTPUT_SIZE
        async with http.delete(location, headers=bearer) as response:
            assert response.status == 200
        await connection.close()


async def test_go2rtc_has_its_token_in_the_address(http: aiohttp.ClientSession) -> None:
    """internal/webrtc/client.go of go2rtc: one POST of a whole offer, and Go makes Basic of
    what stands before the host."""
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, access=ACCESS) as server,
    ):
        connection, offer = await _offer()
        url = f"{server.url}whep/camera".replace("//", f"//go2rtc:{TOKEN.secret}@")
        async with http.post(url, data=offer, headers=SDP) as response:
            answer = await response.text()
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        frame = await connection.getTransceivers()[0].receiver.track.recv()
        assert (frame.width, frame.height) == OUTPUT_SIZE
        await connection.close()


async def _offer() -> tuple[RTCPeerConnection, str]:
    """A connection that takes video and audio, and its offer with all candidates."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in ("video", "audio"):
        connection.addTransceiver(kind, direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    return connection, connection.localDescription.sdp
