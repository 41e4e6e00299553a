"""Access to the server: tokens, certificates, hosts and origins."""

import asyncio
import logging
import re
import shutil
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from broadcast import Broadcast
from peers.certificates import make_certificate

from streamsr.core.errors import ConfigError
from streamsr.core.redact import redact
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.auth import (
    is_loopback,
    make_tls,
    presented_token,
    read_token,
)
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
    async with Server({}, token=TOKEN) as server:
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
    async with Server({"camera": Broadcast().served}, token=TOKEN) as server:
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
    async with Server({}, token=TOKEN) as server:
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

    async with Server({"camera": Broadcast().served}, token=TOKEN) as server:
        assert (await ask(TOKEN))[0] == 200
        for _ in range(12):
            assert (await ask(None))[0] == 401
        for guess in (TOKEN[:-1], TOKEN + "1", "", "guess", *["x" * 1000] * 6):
            status, text = await ask(guess)
            assert status == 401
            assert TOKEN not in text
        assert (await ask(TOKEN))[0] == 429
        async with http.get(f"{server.url}livez") as response:
            assert response.status == 200
    assert TOKEN not in caplog.text


@pytest.fixture(autouse=True)
def no_token_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMSR_TOKEN", raising=False)


def test_no_token() -> None:
    assert read_token(ServeSettings()) is None


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nand a remark\n"])
def test_a_token_is_the_first_line_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", "another-token-of-the-environment")
    path = tmp_path / "token"
    path.write_bytes((TOKEN + ending).encode())
    assert read_token(ServeSettings(token_file=path)) == TOKEN
    assert redact(f"got {TOKEN}") == "got ***"


def test_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", TOKEN)
    assert read_token(ServeSettings()) == TOKEN


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "0 characters"),
        ("fifteen-letters", "15 characters, allowed are 16 and more"),
        ("a token with spaces", "ASCII"),
        ("ein-schlüssel-mit-umlaut", "ASCII"),
        ("a-token-with-a-\x07-bell", "ASCII"),
    ],
)
def test_a_token_that_is_none(monkeypatch: pytest.MonkeyPatch, token: str, words: str) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", token)
    with pytest.raises(ConfigError, match=f"STREAMSR_TOKEN.*{words}") as caught:
        read_token(ServeSettings())
    assert not token or token not in str(caught.value)
    with pytest.raises(ConfigError, match=words):
        Server({}, token=token)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serve\.token_file .*/no cannot be read: No such file"):
        read_token(ServeSettings(token_file=tmp_path / "no"))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (f"Bearer {TOKEN}", TOKEN),
        (f"bearer  {TOKEN} ", TOKEN),
        ("Basic " + b64encode(f"anyone:{TOKEN}".encode()).decode(), TOKEN),
        ("BASIC " + b64encode(f":{TOKEN}".encode()).decode(), TOKEN),
        ("Basic " + b64encode(TOKEN.encode()).decode(), TOKEN.partition(":")[2]),
        ("Basic \xff", None),
        ("Basic not-base-64", None),
        ("Basic " + b64encode(b"\xff\xfe").decode(), None),
        ("Digest x", None),
        (TOKEN, None),
        ("", None),
    ],
)
def test_what_is_in_the_header(header: str, token: str | None) -> None:
    assert presented_token(header) == token


async def test_tls(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    settings = make_certificate(tmp_path)
    tls = make_tls(settings)
    trust = ssl.create_default_context(cafile=settings.tls_certificate)
    async with Server({}, tls=tls) as server:
        assert server.url == f"https://127.0.0.1:{server.port}/"
        async with http.get(f"{server.url}livez", ssl=trust) as response:
            assert response.status == 200
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        async with http.get(f"{server.url}livez", ssl=trust) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"http://127.0.0.1:{server.port}/livez")
    assert tls is not None
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_handshake_that_does_not_come_is_not_waited_for(
    tmp_path: Path,
) -> None:
    tls, limits = make_tls(make_certificate(tmp_path)), ServerLimits(idle_s=0.2)
    async with Server({}, tls=tls, limits=limits) as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert await reader.read() == b""
        writer.close()


def test_no_tls() -> None:
    assert make_tls(ServeSettings()) is None


def test_certificates_that_are_none(tmp_path: Path) -> None:
    good = make_certificate(tmp_path)
    other = make_certificate(tmp_path, "other")
    locked = make_certificate(tmp_path, "locked", password=b"secret")
    noise = tmp_path / "noise.pem"
    noise.write_text("noise")
    certificate, no = good.tls_certificate, tmp_path / "no.pem"
    for chosen, key, words in [
        (no, good.tls_key, "tls_certificate .*no.pem cannot be read: No such file"),
        (certificate, no, "tls_key .*no.pem cannot be read: No such file"),
        (certificate, tmp_path, "cannot be read: Is a directory"),
        (noise, good.tls_key, "allowed are PEM files"),
        (certificate, noise, "allowed are PEM files"),
        (certificate, other.tls_key, "do not belong together"),
        (locked.tls_certificate, locked.tls_key, "needs a password"),
    ]:
        with pytest.raises(ConfigError, match=words):
            make_tls(ServeSettings(tls_certificate=chosen, tls_key=key))


def test_off_loopback_it_does_not_start_without_token_and_tls(tmp_path: Path) -> None:
    tls = make_tls(make_certificate(tmp_path))
    both = r"loopback .*STREAMSR_TOKEN.* and TLS \(serve.tls_certificate and serve.tls_key"
    with pytest.raises(ConfigError, match=both):
        Server({}, host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"missing is TLS"):
        Server({}, host="0.0.0.0", token=TOKEN)
    with pytest.raises(ConfigError, match=r"missing is a token .*environment\)$"):
        Server({}, host="0.0.0.0", tls=tls)
    Server({}, host="0.0.0.0", token=TOKEN, tls=tls)


async def test_off_loopback_it_serves_with_both(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tls = make_tls(make_certificate(tmp_path))
    async with Server({}, host="0.0.0.0", token=TOKEN, tls=tls) as server:
        assert server.url.startswith("https://0.0.0.0:")
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "camera.example"}
        async with http.get(f"{server.url}api/streams", headers=headers, ssl=False) as response:
            assert (response.status, await response.json()) == (200, [])


def test_the_advice_on_certificates_works(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    with pytest.raises(ConfigError) as caught:
        Server({}, host="0.0.0.0")
    command = re.search(r"openssl [^)]*", str(caught.value))
    assert command is not None
    subprocess.run(command.group(0).split(), cwd=tmp_path, check=True, capture_output=True)
    names = {"tls_certificate": tmp_path / "certificate.pem", "tls_key": tmp_path / "key.pem"}
    assert make_tls(ServeSettings(**names)) is not None
