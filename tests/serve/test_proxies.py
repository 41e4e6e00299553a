"""Behind proxies as their documentation configures them: who asks, and that everything works."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import pytest
from broadcast import Broadcast
from peers import NginxProxy
from playwright.async_api import Page
from test_page import PAIRED
from viewer import SDP, Viewer

from streamsr.core.errors import ConfigError
from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import TrustedProxies
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server

TOKEN = "the-token-of-who-controls"
CONTROL = Secrets((Token("token", "control", TOKEN),))
TRUSTING = TrustedProxies(["127.0.0.1"])
BEARER = {"Authorization": f"Bearer {TOKEN}"}

PAGE = Path(__file__).parents[2] / "docs" / "access.md"

Nginx = Callable[[str], NginxProxy]


def client(address: str) -> aiohttp.ClientSession:
    """One on this machine, at an address of its own."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=5))


async def ask(url: str, token: str, address: str, **headers: str) -> int:
    sent = {"Authorization": f"Bearer {token}", **headers}
    async with client(address) as http, http.get(f"{url}api/streams", headers=sent) as response:
        return response.status


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For $remote_addr",
        "X-Forwarded-For $proxy_add_x_forwarded_for",
        'Forwarded "for=$remote_addr;proto=$scheme"',
    ],
)
async def test_ten_wrong_tokens_cost_their_client_alone(nginx: Nginx, header: str) -> None:
    async with Server({}, access=Access(CONTROL, TRUSTING)) as server:
        proxy = nginx(f"location / {{ proxy_pass {server.url}; proxy_set_header {header}; }}")
        forged = {"X-Forwarded-For": "127.0.0.7"} if "$proxy_add" in header else {}
        forged |= {} if header.startswith("Forwarded") else {"Forwarded": "for=127.0.0.7"}
        for number in range(10):
            assert await ask(proxy.url, f"wrong{number}", "127.0.0.66", **forged) == 401
        assert await ask(proxy.url, "wrong", "127.0.0.66", **forged) == 429
        assert await ask(proxy.url, TOKEN, "127.0.0.66") == 200
        assert await ask(proxy.url, TOKEN, "127.0.0.7") == 200
        assert await ask(proxy.url, "wrong", "127.0.0.7") == 401
        assert await ask(server.url, TOKEN, "127.0.0.1") == 200
        assert await ask(server.url, "wrong", "127.0.0.1") == 401, "it is not the proxy's doing"


async def test_nginx_as_our_page_on_it_says(nginx: Nginx, http: aiohttp.ClientSession) -> None:
    (block,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, access=Access(CONTROL, TRUSTING)) as server,
    ):
        proxy = nginx(block.replace("http://127.0.0.1:8080/", server.url))
        url = f"{proxy.url}streamsr/"
        page = BEARER | {"Origin": proxy.url.rstrip("/")}
        async with http.post(f"{url}whep/camera", data="v=0", headers=page | SDP) as response:
            assert response.status == 400, "it is taken, and is no offer"
        wanted = {"path": "/snapshot/camera.jpg"}
        async with http.post(f"{url}api/v1/links", json=wanted, headers=page) as response:
            link = (await response.json())["address"]
        assert link.startswith(f"{url}snapshot/camera.jpg?token=")
        socket = url.replace("http", "ws") + "live/camera"
        async with http.ws_connect(socket, headers=page) as live:
            assert "codecs" in (await live.receive_json(timeout=5))


async def test_a_proxy_that_nobody_trusts_locks_nobody_out(nginx: Nginx) -> None:
    async with Server({}, access=Access(CONTROL)) as server:
        proxy = nginx(f"location / {{ proxy_pass {server.url}; }}")
        for number in range(11):
            await ask(proxy.url, f"wrong{number}", "127.0.0.66")
        for url, address in [
            (proxy.url, "127.0.0.66"),
            (proxy.url, "127.0.0.7"),
            (server.url, "127.0.0.1"),
        ]:
            assert await ask(url, TOKEN, address) == 200


PLACES = {  # below which path, with which settings of ours
    "alone": ("location / {{ proxy_pass {url}; }}", "", ""),
    "host": ("location / {{ proxy_pass {url}; proxy_set_header Host $host; }}", "", ""),
    "http_host": ("location / {{ proxy_pass {url}; proxy_set_header Host $http_host; }}", "", ""),
    "stripped": ("location /streamsr/ {{ proxy_pass {url}; }}", "streamsr/", ""),
    "left_on": ("location /streamsr {{ proxy_pass {root}; }}", "streamsr/", "/streamsr"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_whep_goes_on_at_a_relative_address(
    nginx: Nginx, http: aiohttp.ClientSession, place: str
) -> None:
    locations, below, base = PLACES[place]
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, access=Access(base_path=base)) as server,
    ):
        root = server.url.rstrip("/")
        url = nginx(locations.format(url=server.url, root=root)).url + below
        async with Viewer(http, url) as viewer:
            await viewer.frame()
            assert viewer.location.startswith(f"{url}whep/camera/")
            async with http.delete(viewer.location) as response:
                assert response.status == 200


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("place", PLACES)
async def test_the_page_plays(nginx: Nginx, page: Page, place: str) -> None:
    locations, below, base = PLACES[place]
    upgrade = (
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
        "proxy_set_header Connection $http_connection; "
    )
    locations = locations.replace("{{ ", "{{ " + upgrade)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, access=Access(base_path=base)) as server,
    ):
        root = server.url.rstrip("/")
        url = nginx(locations.format(url=server.url, root=root)).url + below
        offers: list[int] = []
        page.on(
            "request", lambda r: offers.append(len(r.post_data or "")) if "/whep/" in r.url else 0
        )
        await page.goto(url)
        await page.wait_for_function(PAIRED)
        await page.goto(f"{url}watch/camera")
        await page.wait_for_function(PAIRED)
        assert page.complaints == []
        assert max(offers) < 8192, "what nginx holds in memory, and need not write to a disk"


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("count", [1, 2])
async def test_the_page_plays_below_a_path_without_its_slash(
    nginx: Nginx, page: Page, count: int
) -> None:
    """Traefik's PathPrefix with StripPrefix takes both."""
    headers = "proxy_set_header X-Forwarded-Prefix /streamsr; proxy_set_header Host $http_host;"
    async with Broadcast() as broadcast:
        streams = {f"camera{number}": broadcast.served for number in range(count)}
        async with Server(streams, access=Access(proxies=TRUSTING)) as server:
            locations = f"location = /streamsr {{ proxy_pass {server.url}; {headers} }}"
            locations += f"location /streamsr/ {{ proxy_pass {server.url}; {headers} }}"
            await page.goto(f"{nginx(locations).url}streamsr")
            if count > 1:
                await page.click("text=camera1")
            await page.wait_for_function(PAIRED)
            assert not [said for said in page.complaints if "404" in said or "403" in said]


async def test_the_name_below_a_path_leads_to_the_page(http: aiohttp.ClientSession) -> None:
    async with Server({}, access=Access(base_path="/a/streamsr")) as server:
        for path in ("a/streamsr", "a/streamsr/", "", "a/streamsr/page/app.js"):
            async with http.get(server.url + path) as response:
                assert response.status == 200, path
        async with http.get(f"{server.url}a/streamsr", allow_redirects=False) as response:
            assert response.headers["Location"] == "streamsr/", "whatever stands before it"
        async with http.get(f"{server.url}a/streamsrs/") as response:
            assert response.status == 404


BROWSER = {  # what a page asks for by WHEP, at https://home.example/video/
    "Origin": "https://home.example",
    "Sec-Fetch-Site": "same-origin",
    **SDP,
}
FORWARDED = {
    "caddy": {  # reverse_proxy
        "Host": "home.example",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "home.example",
    },
    "traefik": {  # with StripPrefix
        "Host": "home.example",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Host": "home.example",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Prefix": "/video",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Server": "traefik",
        "X-Real-Ip": "192.0.2.1",
    },
    "nginx": {  # proxy_pass alone
        "Connection": "close",
    },
    "nginx with $host": {"Host": "home.example"},
}


@pytest.mark.parametrize("proxy", FORWARDED)
@pytest.mark.parametrize("with_site", [True, False], ids=["https", "http"])
async def test_a_page_behind_a_proxy_may_ask(
    http: aiohttp.ClientSession, proxy: str, with_site: bool
) -> None:
    """Over plain HTTP browsers send no Sec-Fetch-Site."""
    headers: Mapping[str, str] = BEARER | BROWSER | FORWARDED[proxy]
    if not with_site:
        headers = {name: value for name, value in headers.items() if name != "Sec-Fetch-Site"}
    broadcast = Broadcast()
    async with Server({"camera": broadcast.served}, access=Access(CONTROL, TRUSTING)) as server:
        async with http.post(f"{server.url}whep/camera", data="v=0", headers=headers) as response:
            if proxy == "nginx" and not with_site:
                assert response.status == 403
                assert "nginx: proxy_set_header Host $http_host" in await response.text()
            else:
                assert response.status == 400, "it is taken, and is no offer"
        evil = headers | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        async with http.post(f"{server.url}whep/camera", data="v=0", headers=evil) as response:
            assert response.status == 403


@pytest.mark.parametrize(
    ("host", "forwarded"), [("evil.example", "localhost"), ("127.0.0.1", "evil.example")]
)
async def test_a_name_that_points_at_a_proxy_does_not_get_in(
    http: aiohttp.ClientSession, host: str, forwarded: str
) -> None:
    """Without a token: a page may have its own name point at the proxy, and send headers."""
    headers = {"Host": host, "X-Forwarded-Host": forwarded, "X-Forwarded-For": "127.0.0.1"}
    async with (
        Server({}, access=Access(proxies=TRUSTING)) as server,
        http.get(f"{server.url}api/streams", headers=headers) as response,
    ):
        assert response.status == 403
        assert "got the Host 'evil.example'; without a token" in await response.text()


@pytest.mark.parametrize(
    ("peer", "taken"),
    [("127.0.0.1", True), ("::1", True), ("10.1.2.3", True), ("10.2.0.1", False), ("", False)],
)
def test_without_tls_none_but_a_proxy_comes_from_elsewhere(peer: str, taken: bool) -> None:
    access = Access(CONTROL, TrustedProxies(["10.1.0.0/16"]))
    access.check_exposure("0.0.0.0")
    why = access.refuse_plain(peer)
    assert (why is None) is taken
    assert why is None or f"without TLS from {peer}, allowed are those of" in why


def test_a_proxy_elsewhere_is_no_token() -> None:
    with pytest.raises(ConfigError, match=r"missing is a token .*environment\)$"):
        Server({}, host="0.0.0.0", access=Access(proxies=TRUSTING))


async def test_who_comes_by_no_proxy_and_without_tls_is_refused(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(CONTROL, TrustedProxies(["10.1.0.0/16"]))
    async with Server({}, host="0.0.0.0", access=access) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert await ask(url, TOKEN, "127.0.0.1") == 200
        monkeypatch.setattr("streamsr.serve.access.access.is_loopback", lambda host: False)
        for path, status in [("livez", 200), ("api/streams", 403)]:  # a probe comes by no proxy
            async with http.get(url + path, headers=BEARER) as response:
                assert response.status == status
