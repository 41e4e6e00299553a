"""Pages of other sites: refused by default, let in where they are listed."""

import aiohttp
import pytest
from broadcast import Broadcast
from letting_in import letting_in
from viewer import SDP

from streamsr.core.config import parse
from streamsr.core.errors import ConfigError
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import Arrival
from streamsr.serve.access.origins import Origins
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server

HOME = "https://home.example"
TOKEN = "a-token-of-a-viewer"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LOCAL = {"Host": "127.0.0.1:8080"}


def listing(*origins: str, token: str | None = None) -> Access:
    tokens = (Token("token", "control", token),) if token else ()
    return Access(Secrets(tokens), origins=Origins(origins))


@pytest.mark.parametrize(
    ("host", "said", "refused"),
    [
        ("127.0.0.1:8080", "", False),
        ("[::1]:8080", "", False),
        ("LOCALHOST", "localhost:80", False),
        ("home.example", "", False),  # nobody else can have that name
        ("home.example:8443", "", False),
        ("evil.example", "", True),
        ("evil.example", "localhost", True),  # a proxy may pass on what a page says
        ("127.0.0.1:8080", "evil.example", True),
        ("127.0.0.1:8080", "home.example", False),
        ("", "", True),
        ("[", "", True),
        ("localhost.evil.example", "", True),
        ("home.example.evil.example", "", True),
    ],
)
def test_names_of_a_server_without_a_token(host: str, said: str, refused: bool) -> None:
    why = Origins([HOME]).refuse_host({"Host": host}, Arrival("127.0.0.1", host=said))
    assert (why is not None) is refused
    assert why is None or "without a token allowed are localhost" in why


@pytest.mark.parametrize(
    ("headers", "open_to", "with_token"),
    [
        ({"Origin": "http://127.0.0.1:8080"}, True, True),
        ({"Origin": "https://127.0.0.1:8080"}, True, True),  # a TLS proxy's
        ({"Origin": "HTTPS://HOME.example"}, True, True),
        ({"Origin": "https://home.example:8443"}, False, False),
        ({"Origin": "http://home.example"}, False, False),
        ({"Origin": "null"}, False, False),
        ({"Origin": "http://127.0.0.1:9090"}, False, False),
        ({"Origin": "http://127.0.0.1:8080.evil.example"}, False, False),
        # The proxy has another Host put in its place, the browser knows that the page is ours.
        ({"Origin": "http://127.0.0.1:9090", "Sec-Fetch-Site": "same-origin"}, True, True),
        ({"Origin": "https://cam.lan", "Sec-Fetch-Site": "same-origin"}, False, True),
        ({"Origin": "https://cam.lan", "Sec-Fetch-Site": "same-site"}, False, False),
        ({"Origin": "https://cam.lan", "Sec-Fetch-Site": "cross-site"}, False, False),
        ({"Sec-Fetch-Site": "cross-site"}, False, False),
        ({"Sec-Fetch-Site": "none"}, True, True),
        ({}, True, True),
    ],
)
def test_pages_that_may_write(headers: dict[str, str], open_to: bool, with_token: bool) -> None:
    origins, arrival = Origins([HOME]), Arrival("127.0.0.1")
    for has_token, taken in [(False, open_to), (True, with_token)]:
        why = origins.refuse_site("POST", LOCAL | headers, arrival, has_token=has_token)
        assert (why is None) is taken, (has_token, why)


def test_the_host_that_a_trusted_proxy_tells_is_our_own() -> None:
    origins, arrival = Origins(), Arrival("192.0.2.1", host="cam.lan:8443")
    headers = LOCAL | {"Origin": "https://cam.lan:8443"}
    assert origins.refuse_site("POST", headers, arrival, has_token=True) is None
    other = LOCAL | {"Origin": "https://cam.lan"}
    assert origins.refuse_site("POST", other, arrival, has_token=True) is not None


async def test_a_listed_origin_may_ask(http: aiohttp.ClientSession) -> None:
    """As browsers do: a preflight, without a token, then the request."""
    broadcast = Broadcast()
    access = listing(HOME, token=TOKEN)
    async with Server({"camera": broadcast.served}, access=access) as server:
        asking = {
            "Origin": HOME,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        for path in ("whep/camera", "api/v1/links", "hls/camera/index.m3u8", "nowhere"):
            async with http.options(server.url + path, headers=asking) as response:
                assert response.status == 204
                assert response.headers["Access-Control-Allow-Origin"] == HOME
                assert response.headers["Access-Control-Allow-Credentials"] == "true"
                assert "POST" in response.headers["Access-Control-Allow-Methods"]
                assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        for headers, status in [(BEARER, 200), ({}, 401)]:
            asked = headers | {"Origin": HOME, "Sec-Fetch-Site": "cross-site"}
            async with http.get(f"{server.url}api/streams", headers=asked) as response:
                assert response.status == status
                assert response.headers["Access-Control-Allow-Origin"] == HOME, "it may read why"
                assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
                assert "Origin" in response.headers["Vary"]
        offer = BEARER | SDP | {"Origin": HOME, "Sec-Fetch-Site": "cross-site"}
        async with http.post(f"{server.url}whep/camera", data="v=0", headers=offer) as response:
            assert response.status == 400, "it is taken, and is no offer"
            assert "Location" in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://home.example"])
async def test_an_origin_that_is_not_listed_may_not(
    http: aiohttp.ClientSession, origin: str
) -> None:
    for access in (listing(token=TOKEN), listing(HOME, token=TOKEN)):
        async with Server({}, access=access) as server:
            asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            async with http.options(f"{server.url}whep/camera", headers=asking) as response:
                assert response.status in (401, 403)
                assert "Access-Control-Allow-Origin" not in response.headers
            asked = BEARER | {"Origin": origin}
            async with http.get(f"{server.url}api/streams", headers=asked) as response:
                assert response.status == 403
                text = await response.text()
                assert f"got the Origin '{origin}' for the Host '127.0.0.1:" in text
                assert "serve.allowed_origins" in text
                assert "Access-Control-Allow-Origin" not in response.headers
                assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("referer", "policy"),
    [
        (f"{HOME}/wall?x", "cross-origin"),
        (HOME, "cross-origin"),
        ("https://home.example.evil.example/", "same-origin"),
        ("https://evil.example/https://home.example/", "same-origin"),
        ("", "same-origin"),
    ],
)
async def test_images_and_frames_of_listed_origins(
    http: aiohttp.ClientSession, referer: str, policy: str
) -> None:
    """They are asked for without an Origin."""
    headers = {"Referer": referer, "Sec-Fetch-Site": "cross-site"}
    async with (
        Server({}, access=listing(HOME)) as server,
        http.get(server.url, headers=headers) as response,
    ):
        assert response.status == 200
        assert response.headers["Cross-Origin-Resource-Policy"] == policy
        framing = response.headers["Content-Security-Policy"].partition("frame-ancestors ")[2]
        assert framing == f"'self' {HOME}"


async def test_closed_by_default(http: aiohttp.ClientSession) -> None:
    async with Server({}) as server, http.get(server.url, headers={"Referer": HOME}) as response:
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
        assert "Vary" not in response.headers


async def test_the_script_of_a_page_that_is_refused_comes(http: aiohttp.ClientSession) -> None:
    """It says why all else is refused. A browser sends an Origin for modules."""
    async with Server({}, access=letting_in(TOKEN)) as server:
        asked = BEARER | {"Origin": "http://cam.lan"}
        for path, status in [("page/app.js", 200), ("api/streams", 403)]:
            async with http.get(server.url + path, headers=asked) as response:
                assert response.status == status


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Home.Example", HOME),
        ("https://home.example/", HOME),
        ("https://home.example:443", HOME),
        ("http://home.example:8123", "http://home.example:8123"),
        ("http://[2001:DB8::1]:80", "http://[2001:db8::1]"),
    ],
)
def test_an_origin_as_people_write_it(given: str, kept: str) -> None:
    settings = parse({"allowed_origins": [given]}, ServeSettings, "here")
    assert settings.allowed_origins == (kept,)


@pytest.mark.parametrize(
    "given",
    [
        "*",
        "home.example",
        "https://",
        "https://home.example/wall",
        "https://me@home.example",
        "https://*.example",
        "ftp://home.example",
        "https://home.example:port",
        "https://home.example; script-src *",
        "https://[::1",
        "null",
        "https://höme.example",
    ],
)
def test_what_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"allowed_origins"):
        parse({"allowed_origins": [given]}, ServeSettings, "here")
