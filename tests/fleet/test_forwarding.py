"""Requests handed on to hosts: one that froze is left for the next host of the camera."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from streamsr.fleet.gateway import forwarding as module
from streamsr.fleet.gateway.fleet_view import FleetView
from streamsr.fleet.gateway.forwarding import Forwarding
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.fleet.messages import (
    CameraStatus,
    FleetStatus,
    HostAddress,
    Wanted,
    WantedCamera,
)
from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import ARRIVAL, Arrival


class Fleet:
    """A controller of one camera on a host that can be told."""

    def __init__(self, *addresses: HostAddress) -> None:
        self._addresses = addresses
        self.host = addresses[0].host
        self.state = "live"

    async def status(self) -> FleetStatus:
        camera = CameraStatus("gate", self.host, self.state, 1, 0, "", 0.0, 0)
        return FleetStatus(1, (), (camera,))

    async def addresses(self) -> tuple[HostAddress, ...]:
        return self._addresses

    async def wanted(self) -> Wanted:
        return Wanted(1, (WantedCamera("gate", {"hls": {}}),))

    async def want(self, wanted: Wanted) -> int:
        return wanted.version


def a_host(
    name: str, frozen: asyncio.Event | None = None, playlist: str | None = None
) -> web.Application:
    """What of a node the gateway asks; a frozen one answers nothing of its cameras."""

    async def cameras(request: web.Request) -> web.Response:
        return web.json_response({"cameras": [{"name": "gate"}]})

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"models": []})

    async def file(request: web.Request) -> web.Response:
        if frozen is not None:
            await frozen.wait()
        if playlist is not None:
            return web.Response(text=playlist, status=200 if playlist else 404)
        text = f"{name} {request.query_string} {request.headers['X-Forwarded-For']}"
        return web.Response(text=text, headers={"ETag": '"1"', "X-Odd": "kept back"})

    async def trickle(request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/api/v1/cameras", cameras)
    app.router.add_get("/api/v1/models", models)
    app.router.add_get("/hls/{stream}/{file}", file)
    app.router.add_patch("/whep/{stream}/{secret}", trickle)
    return app


@web.middleware
async def arrived(request: web.Request, handler: object) -> web.StreamResponse:
    request[ARRIVAL] = Arrival("192.0.2.7", "", "", "")
    return await handler(request)  # type: ignore[operator,no-any-return]


async def _missing(request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text="no such stream")


@asynccontextmanager
async def forwarding(fleet: Fleet) -> AsyncIterator[tuple[FleetView, ClientSession]]:
    async with HostClient() as client:
        view = FleetView(fleet, client)
        forward = Forwarding(view, client, Access())
        app = web.Application(middlewares=[arrived, forward.middleware])
        app.router.add_get("/hls/{stream}/{file}", _missing)
        app.router.add_patch("/whep/{stream}/{secret}", _missing)
        await view.refresh()
        following = asyncio.create_task(view.follow())
        async with TestServer(app) as server, ClientSession(server.make_url("/")) as session:
            yield view, session
        following.cancel()


async def test_a_host_that_froze_is_left_for_the_next_one() -> None:
    frozen = asyncio.Event()
    async with TestServer(a_host("one", frozen)) as one, TestServer(a_host("two")) as two:
        hosts = [
            HostAddress(name, str(at.make_url("")), "t")
            for name, at in (("one", one), ("two", two))
        ]
        fleet = Fleet(*hosts)
        async with forwarding(fleet) as (_, session):
            asking = asyncio.create_task(
                session.get("/hls/gate/index.m3u8?_HLS_msn=3&token=secret")
            )
            await asyncio.sleep(0.3)
            assert not asking.done()
            fleet.host = "two"
            async with asyncio.timeout(10):
                answer = await asking
            assert await answer.text() == "two _HLS_msn=3 192.0.2.7", "and no token of a link"
            assert answer.headers["ETag"] == '"1"'
            assert "X-Odd" not in answer.headers
            async with session.patch("/whep/gate/secret", data=b"") as trickled:
                assert trickled.status == 204
            async with session.get("/hls/other/index.m3u8") as unknown:
                assert (unknown.status, await unknown.text()) == (404, "no such stream")
        frozen.set()


END = "#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("last", [f"#EXTM3U\nseg_7.m4s\n{END}", ""], ids=["ends", "has none"])
async def test_a_playlist_goes_on_on_the_next_host(
    monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    async with (
        TestServer(a_host("one", playlist=last)) as one,
        TestServer(a_host("two", playlist="#EXTM3U\nseg_8.m4s\n")) as two,
    ):
        places = (("one", one), ("two", two))
        fleet = Fleet(*(HostAddress(name, str(at.make_url("")), "t") for name, at in places))
        async with forwarding(fleet) as (view, session):
            asking = asyncio.create_task(session.get("/hls/gate/index.m3u8"))
            await asyncio.sleep(0.3)
            assert not asking.done(), "a player would end there"
            fleet.host = "two"
            assert "seg_8" in await (await asking).text()
            fleet.host = "one"
            await view.refresh()
            monkeypatch.setattr(module, "FOUND_S", 0.6)
            async with session.get("/hls/gate/index.m3u8") as answer:
                assert await answer.text() == last.removesuffix(END), "no other came"
            fleet.state = "ended"
            await view.refresh()
            async with session.get("/hls/gate/index.m3u8") as answer:
                assert await answer.text() == last, "it has ended indeed"
