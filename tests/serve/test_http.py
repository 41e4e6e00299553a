"""The HTTP surface: what is served, and what happens to requests that break its rules."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import aiohttp
import pytest
from broadcast import Broadcast
from peers.waiting import until
from soak import counts, figure
from viewer import SDP, Viewer, make_offer

from streamsr.core.deadline import Deadline
from streamsr.core.errors import ConfigError
from streamsr.core.status import StreamState, StreamStatus
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server with one stream that is never on the air."""
    async with Server({"camera": Broadcast().served}) as server:
        yield server


async def test_the_page_and_its_files(server: Server, http: aiohttp.ClientSession) -> None:
    for path, kind in [
        ("", "text/html"),
        ("watch/camera", "text/html"),
        ("page/app.js", "text/javascript"),
        ("page/server.js", "text/javascript"),
        ("page/style.css", "text/css"),
        ("page/overview.html", "text/html"),
        ("page/overview.js", "text/javascript"),
        ("page/overview.css", "text/css"),
    ]:
        async with http.get(server.url + path) as response:
            assert response.status == 200
            assert response.content_type == kind
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            text = await response.text()
            assert "://" not in text, "everything must come from here"
            assert " style=" not in text, "the policy forbids it"


async def test_status_as_json(server: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{server.url}api/streams/camera") as response:
        assert response.headers["Cache-Control"] == "no-store"
        status = await response.json()
    assert status["name"] == "camera"
    assert status["fps"] == 24.667
    assert status["latency_p50_ms"] == 41.235
    async with http.get(f"{server.url}api/streams") as response:
        assert await response.json() == [status]


async def test_floats_that_json_does_not_know(http: aiohttp.ClientSession) -> None:
    broadcast = Broadcast()
    broadcast.fps = float("nan")
    async with (
        Server({"camera": broadcast.served}) as server,
        http.get(f"{server.url}api/streams/camera") as response,
    ):
        assert json.loads(await response.text())["fps"] is None


async def test_health(http: aiohttp.ClientSession) -> None:
    broadcast, other = Broadcast(), Broadcast()
    other.state = StreamState.STARTING
    async with Server({"camera": broadcast.served, "other": other.served}) as server:
        for state, ready, text in [
            (
                StreamState.LIVE,
                200,
                "a model is loaded and a source is live; streams: 1 live, 1 starting",
            ),
            (StreamState.DOWN, 503, "no source is live; streams: 1 down, 1 starting"),
        ]:
            broadcast.state = state
            async with http.get(f"{server.url}livez") as response:
                assert (response.status, await response.text()) == (200, "ok")
            async with http.get(f"{server.url}readyz") as response:
                assert (response.status, await response.text()) == (ready, text)


async def test_live_without_a_model_is_not_ready(http: aiohttp.ClientSession) -> None:
    loading = replace(Broadcast().status(), output="")
    served = replace(Broadcast().served, status=lambda: loading)
    async with Server({"camera": served}) as server, http.get(f"{server.url}readyz") as response:
        text = await response.text()
    assert (response.status, text) == (503, "no model is loaded; streams: 1 live")
    async with Server({}) as server, http.get(f"{server.url}readyz") as response:
        assert (response.status, await response.text()) == (503, "no source is live; streams: none")


async def test_streams_come_and_go_while_it_runs(http: aiohttp.ClientSession) -> None:
    streams = {}
    async with Server(streams) as server:
        for present, status in [(False, 404), (True, 200), (False, 404)]:
            streams.clear()
            if present:
                streams["front door"] = Broadcast().served
            async with http.get(f"{server.url}api/streams/front%20door") as response:
                assert response.status == status


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "nothing", {}, None, 404),
        ("GET", "watch/nothing", {}, None, 404),
        ("GET", "api/streams/nothing", {}, None, 404),
        ("GET", "page/../app.py", {}, None, 404),
        ("GET", "page/%2e%2e%2fapp.py", {}, None, 404),
        ("POST", "", {}, None, 405),
        ("GET", "whep/camera", {}, None, 405),
        ("POST", "whep/nothing", SDP, b"v=0", 404),
        ("POST", "whep/camera", {"Content-Type": "text/plain"}, b"v=0", 415),
        ("POST", "whep/camera", {}, None, 415),
        ("POST", "whep/camera", SDP, b"v=0", 400),
        ("POST", "whep/camera", SDP, b"\xff\xfe", 400),
        ("POST", "whep/camera", SDP, b"x" * (128 * 1024 + 1), 413),
        ("PATCH", "whep/camera/secret", FRAGMENT, b"a=mid:0", 404),
        ("DELETE", "whep/camera/secret", {}, None, 404),
    ],
)
async def test_errors_are_one_line_of_text(
    server: Server,
    http: aiohttp.ClientSession,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    status: int,
) -> None:
    async with http.request(method, server.url + path, data=body, headers=headers) as response:
        assert response.status == status
        assert response.content_type == "text/plain"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        text = await response.text()
        assert len(text) < 100
        assert "\n" not in text


async def test_a_fault_of_ours_shows_no_more_than_that(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    broadcast = Broadcast()

    def status() -> StreamStatus:
        raise TypeError("rtsp://admin:canary@camera/x")

    broadcast.status = status
    async with (
        Server({"camera": broadcast.served}) as server,
        http.get(f"{server.url}api/streams/camera", headers={"Accept": "text/html"}) as response,
    ):
        assert (response.status, await response.text()) == (500, "internal error")
    assert "TypeError: rtsp://***@camera/x" in caplog.text
    assert "canary" not in caplog.text


async def test_a_body_that_never_ends(
    http: aiohttp.ClientSession,
) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"a"
            await asyncio.sleep(0.05)

    async with (
        Server(
            {"camera": Broadcast().served}, limits=ServerLimits(body_s=0.2, linger_s=0.2)
        ) as server,
        http.post(f"{server.url}whep/camera", data=trickle(), headers=SDP) as response,
    ):
        assert response.status == 408


async def test_a_body_that_is_endless_is_not_read_to_its_end(
    http: aiohttp.ClientSession,
) -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b"a" * 65536

    async with (
        Server({"camera": Broadcast().served}, limits=ServerLimits(linger_s=0.2)) as server,
        http.post(f"{server.url}whep/camera", data=flood(), headers=SDP) as response,
    ):
        assert response.status == 413


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_a_request_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    async with Server({}, limits=ServerLimits(idle_s=0.2)) as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()


@counts(100, 10_000)
async def test_what_is_no_http_is_refused(
    server: Server, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    choose = random.Random(2)
    for _ in range(count):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(choose.randbytes(choose.randrange(1, 200)) + b"\r\n\r\n")
        writer.write_eof()
        async with asyncio.timeout(2):
            answer = await reader.read()
        assert not answer or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400")), answer
        assert b"Traceback" not in answer
        writer.close()
    for line in (b"GET /whep/camera/secret \x01 HTTP/1.1", b"GET / HTTP/1.1\r\nCookie: secret\x01"):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" + line + b"\r\n\r\n")
        async with asyncio.timeout(2):
            assert b" 400 " in await reader.read()
        writer.close()
    assert caplog.text == ""
    figure("garbage over HTTP", f"{count} requests, none hung for 2 s")


def garbage(offer: str, count: int) -> Iterator[bytes]:
    choose = random.Random(3)
    for _ in range(count // 3):
        yield choose.randbytes(choose.randrange(2000))
    lines = offer.splitlines()
    for _ in range(count - count // 3):
        mutated = [line for line in lines if choose.random() > 0.05]
        for _ in range(3):
            at = choose.randrange(len(mutated))
            cut = choose.randrange(len(mutated[at]) + 1)
            mutated[at] = mutated[at][:cut] + choose.choice("\x00 :=9é-") + mutated[at][cut:]
        yield "\r\n".join(mutated).encode()


@counts(300, 10_000, hours=2)
async def test_garbage_offers_do_no_harm(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    limits = ServerLimits(connect_s=0.1, local_burst=count + 10)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, limits=limits) as server,
    ):
        statuses = set()
        loop = asyncio.get_running_loop()
        for body in garbage(await make_offer("video", "video", "audio"), count):
            begun_s = loop.time()
            async with http.post(f"{server.url}whep/camera", data=body, headers=SDP) as response:
                statuses.add(response.status)
                assert "Traceback" not in await response.text()
            assert loop.time() - begun_s < 4
        assert {201, 400} <= statuses <= {201, 400, 406, 503}
        await until(lambda: server.viewers == 0)
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    figure("garbage offers", f"{count}, none hung for 4 s")
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        await viewer.frame()


async def test_a_port_that_is_taken(server: Server) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{server.port}"):
        async with Server({}, port=server.port):
            pass


async def test_a_stop_that_is_late_waits_for_no_request(server: Server) -> None:
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"POST /whep/camera HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n")
    writer.write(f"Content-Type: {SDP['Content-Type']}\r\n\r\n".encode())
    await asyncio.sleep(0.1)  # it waits for the body, 10 s by default
    async with asyncio.timeout(2):
        await server.close(Deadline.after(0.0))
    writer.close()
