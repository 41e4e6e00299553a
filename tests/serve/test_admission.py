"""What lets a client in ends what it was let in to, too."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urljoin

import aiohttp
import pytest
from peers import Studio
from peers.waiting import until
from test_live_socket import served
from viewer import SDP, Viewer, make_offer

from streamsr.serve.access.access import Access
from streamsr.serve.access.admission import Admission
from streamsr.serve.access.links import signed
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server
from streamsr.serve.whip.publish_point import PublishPoint

CONTROL = Token("token", "control", "the-token-of-who-controls")
VIEW = Token("wall", "view", "the-token-of-who-watches")
AS_VIEW = {"Authorization": f"Bearer {VIEW.secret}"}


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsr.serve.access.admission.LOOK_S", 0.05)


@asynccontextmanager
async def site() -> AsyncIterator[tuple[Server, Secrets]]:
    secrets = Secrets((CONTROL, VIEW))
    async with Studio() as studio, PublishPoint() as point:
        streams = {"cam": replace(served(studio), publish_point=point)}
        async with Server(streams, access=Access(secrets)) as server:
            yield server, secrets


async def reason(socket: aiohttp.ClientWebSocketResponse) -> str:
    """Why a socket was closed, once it was."""
    async with asyncio.timeout(5):
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return str(message.extra)


async def test_a_socket_ends_with_its_link(http: aiohttp.ClientSession) -> None:
    async with site() as (server, _):
        until_s = int(time.time()) + 2
        link = signed(CONTROL, "/live/cam", until_s)
        async with http.ws_connect(f"{server.url}live/cam?token={link}") as socket:
            assert await reason(socket) == "its link is over"
        assert until_s <= time.time() < until_s + 3


async def test_what_goes_on_ends_with_its_token(http: aiohttp.ClientSession) -> None:
    async with site() as (server, secrets):
        http.headers.update(AS_VIEW)
        viewer = Viewer(http, server.url, ["video"], "cam")
        socket, events = http.ws_connect(f"{server.url}live/cam"), f"{server.url}api/v1/events"
        async with socket as opened, http.get(events) as told, viewer:
            await viewer.frame()
            secrets.tokens = (CONTROL, replace(VIEW, secret="another-token-of-it"))
            assert await reason(opened) == "its token counts no more"
            await told.content.read()
            await until(lambda: server.viewers == 0)


async def test_a_publisher_ends_with_its_token(http: aiohttp.ClientSession) -> None:
    async with site() as (server, secrets):
        http.headers["Authorization"] = f"Bearer {CONTROL.secret}"
        offer = await make_offer("video", direction="sendonly")
        async with http.post(f"{server.url}whip/cam", data=offer, headers=SDP) as response:
            assert response.status == 201, await response.text()
            session = urljoin(str(response.url), response.headers["Location"])
        other = Token("other", "control", "another-token-of-it")
        secrets.tokens = (other,)
        http.headers["Authorization"] = f"Bearer {other.secret}"
        async with asyncio.timeout(5):
            status = 0
            while status != 404:
                status = await answered(http, session)
                await asyncio.sleep(0.05)


async def answered(http: aiohttp.ClientSession, session: str) -> int:
    """How a fragment without candidates is answered: 404 where there is no such session."""
    kind = {"Content-Type": "application/trickle-ice-sdpfrag"}
    async with http.patch(session, data="a=ice-pwd:x\r\n", headers=kind) as response:
        return response.status


def test_where_none_was_needed_and_one_is_now() -> None:
    secrets = Secrets()
    admission = Admission(secrets)
    assert admission.over() is None
    secrets.tokens = (CONTROL,)
    assert admission.over() == "a token is needed now"
