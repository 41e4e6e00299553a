"""Which requests a server takes: by tokens, hosts and origins."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Iterator

import aiohttp
import pytest
from broadcast import Broadcast
from letting_in import letting_in

from streamsr.serve.access.forwarded import is_loopback
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server

TOKEN = "p@ss/w%rd:#1-of-a-viewer"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BASIC = {"Authorization": "Basic " + b64encode(f"anyone:{TOKEN}".encode()).decode()}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "localhost.evil.org", ""]
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


async def test_a_name_that_points_here_does_not_get_in(http: aiohttp.ClientSession) -> None:
    async with Server({}) as server:
        for host, status in [("evil.example", 403), ("localhost:1", 200), ("[", 403)]:
            async with http.get(f"{server.url}api/streams", headers={"Host": host}) as response:
                assert response.status == status, host


async def test_another_site_does_not_get_in(http: aiohttp.ClientSession) -> None:
    async with Server({}) as server:
        own = server.url.rstrip("/")
        for origin, status in [
            ("http://evil.example", 403),
            ("null", 403),
            ("http://[", 403),
            (f"{own}.evil.example", 403),
            (own, 404),
            (own.replace("http", "https"), 404),  # a proxy's
        ]:
            async with http.post(f"{server.url}whep/x", headers={"Origin": origin}) as response:
                assert response.status == status, origin


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
async def test_a_browser_does_not_write_for_another_site(
    http: aiohttp.ClientSession, method: str
) -> None:
    """A browser sends Basic along with what any page asks."""
    async with Server({}, access=letting_in(TOKEN)) as server:
        for site, status in [
            ("cross-site", 403),
            ("same-site", 403),  # another port of this machine
            ("same-origin", {404, 405}),
            ("none", {404, 405}),
        ]:
            headers = BASIC | {"Sec-Fetch-Site": site}
            url = f"{server.url}whep/x/y"
            async with http.request(method, url, headers=headers) as response:
                allowed = status if isinstance(status, set) else {status}
                assert response.status in allowed, site
        headers = BASIC | {"Sec-Fetch-Site": "cross-site"}  # a link to the page
        async with http.get(server.url, headers=headers) as response:
            assert response.status == 200


def questions(server: Server) -> Iterator[tuple[str, str]]:
    """Every route there is, with names that exist where they can, and some that are none."""
    for route in server.routes:
        path = route.path.format(stream="camera", camera="camera", file="app.js", secret="x" * 22)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            yield method, path
    for path in (
        "/no",
        "/livez/",
        "/livez/x",
        "//livez",
        "/api",
        "/page/no.js",
        "/hls/camera/x.m4s",
    ):
        yield "GET", path
    yield "OPTIONS", "/api/streams"


async def test_with_a_token_every_route_needs_it(http: aiohttp.ClientSession) -> None:
    async with Server({"camera": Broadcast().served}, access=letting_in(TOKEN)) as server:
        asked = [pair for pair in questions(server) if pair[1] != "/livez"]
        assert len(asked) > 20
        for method, path in asked:
            url = server.url.rstrip("/") + path
            async with http.request(method, url) as response:
                assert response.status == 401, (method, path)
                if method != "HEAD":
                    assert "a token is needed" in await response.text()
                challenges = response.headers.getall("WWW-Authenticate")
                assert [c.partition(" ")[0] for c in challenges] == ["Basic", "Bearer"]
            for headers in (BEARER, BASIC):
                async with http.request(method, url, headers=headers) as response:
                    assert response.status not in (401, 403, 429, 500), (method, path)
        async with http.get(f"{server.url}livez") as response:
            assert response.status == 200


async def test_with_a_token_any_name_will_do(http: aiohttp.ClientSession) -> None:
    async with Server({}, access=letting_in(TOKEN)) as server:
        for headers, status in [(BASIC, 200), (BEARER, 200), ({}, 401)]:
            asked = headers | {"Host": "camera.example", "Origin": "https://camera.example"}
            async with http.get(f"{server.url}api/streams", headers=asked) as response:
                assert response.status == status


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
async def test_guessing_is_stopped_and_shows_nothing(
    http: aiohttp.ClientSession, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def ask(token: str | None) -> tuple[int, str]:
        headers = {}
        if token is not None:
            value = token if scheme == "Bearer" else b64encode(f"x:{token}".encode()).decode()
            headers = {"Authorization": f"{scheme} {value}"}
        async with http.get(f"{server.url}api/streams/camera", headers=headers) as response:
            return response.status, await response.text()

    limits = ServerLimits(late_s=0.2)
    served = Broadcast().served
    async with Server({"camera": served}, access=letting_in(TOKEN), limits=limits) as server:
        assert (await ask(TOKEN))[0] == 200
        for _ in range(12):
            assert (await ask(None))[0] == 401
        for guess in (TOKEN[:-1], TOKEN + "1", "", "guess", *["x" * 1000] * 6):
            status, text = await ask(guess)
            assert status == 401
            assert TOKEN not in text
        begun_s = asyncio.get_running_loop().time()
        assert (await ask("another"))[0] == 429
        assert asyncio.get_running_loop().time() - begun_s > 0.2, "late"
        assert (await ask(TOKEN))[0] == 200, "never held back"
        assert (await ask(None))[0] == 401
        async with http.get(f"{server.url}livez") as response:
            assert response.status == 200
    assert TOKEN not in caplog.text
