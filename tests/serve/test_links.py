"""Links that expire: for one camera and path, to watch, and no more."""

import logging
import time
from base64 import b64encode

import aiohttp
import pytest
from broadcast import Broadcast
from letting_in import letting_in
from peers import Studio

from streamsr.core.settings import HlsSettings
from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import TrustedProxies
from streamsr.serve.access.links import carried, expiry_of, signed, watchable
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server
from streamsr.serve.served import Served

CONTROL = Token("token", "control", "the-token-of-who-controls")
VIEW = Token("wall", "view", "the-token-of-who-watches")
BEARER = {"Authorization": f"Bearer {CONTROL.secret}"}


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/hls/gate", "/hls/gate"),
        ("/hls/gate/index.m3u8", "/hls/gate"),
        ("/hls/gate/../yard/index.m3u8", None),
        ("/hls/gate/.", None),
        ("/hls/gate//index.m3u8", None),
        ("/hls/gate/", None),
        ("/hls/gate/index.m3u8?x=1", None),
        ("/hls/gate/index.m3u8#a", None),
        ("/hls/gate/a%2fb", None),
        ("/hls/gate/index.m3u8\n", None),
        ("/snapshot/gate.jpg", "/snapshot/gate.jpg"),
        ("/live/gate", "/live/gate"),
        ("/api/v1/cameras/gate/recordings/a.mp4", "/api/v1/cameras/gate/recordings"),
        ("/api/v1/cameras/gate/snapshot", "/api/v1/cameras/gate/snapshot"),
        ("/api/v1/cameras/gate", None),
        ("/api/v1/cameras/gate/snapshots", None),
        ("/hls", None),
        ("/hls/", None),
        ("/snapshot/gate.jpgs", None),
        ("/whep/gate", None),
        ("/api/streams", None),
        ("hls/gate", None),
        ("//hls/gate", None),
    ],
)
def test_what_a_link_may_be_for(path: str, part: str | None) -> None:
    assert watchable(path) == part


def test_a_link_is_good_for_its_path_and_below_until_its_time() -> None:
    token = signed(CONTROL, "/hls/gate", 1_800_000_000)
    for path in ("/hls/gate", "/hls/gate/index.m3u8", "/hls/gate/a.m4s"):
        assert expiry_of([VIEW, CONTROL], path, token) == 1_800_000_000
    for path in (
        "/hls/gates",
        "/hls/yard/index.m3u8",
        "/live/gate",
        "/hls/gate/../yard/index.m3u8",
        "/hls/gate//index.m3u8",
        "/",
        "/api/streams",
    ):
        assert expiry_of([CONTROL], path, token) is None, path


def test_a_link_that_is_changed_is_none() -> None:
    until, _, code = signed(CONTROL, "/hls/gate", 1_800_000_000).partition(".")
    for other in (
        f"{int(until, 16) + 1:x}.{code}",
        f"0{until}.{code}",
        f"{until}.{code[:-1]}",
        f"{until}.{code}A",
        f"{until}.{'A' * 22}",
        f"{until}.",
        "",
        ".",
        CONTROL.secret,
        "ffffffffffffffff." + code,
        "é." + code,
    ):
        assert expiry_of([CONTROL], "/hls/gate", other) is None, other


def test_a_link_ends_with_the_token_it_was_made_of() -> None:
    token = signed(CONTROL, "/hls/gate", 1_800_000_000)
    assert expiry_of([Token("token", "control", "another-token-of-it")], "/hls/gate", token) is None
    assert expiry_of([], "/hls/gate", token) is None
    of_view = signed(VIEW, "/hls/gate", 1_800_000_000)
    assert expiry_of([VIEW, CONTROL], "/hls/gate", of_view) is None


def test_a_playlist_carries_the_token() -> None:
    playlist = (
        '#EXTM3U\n#EXT-X-MAP:URI="init.mp4"\n#EXT-X-PART:DURATION=0.2,URI="p1.m4s"\n'
        '#EXTINF:2.0,\nsegment_1.m4s\r\n\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p2.m4s?x=1"\nlast.m4s'
    )
    assert carried(playlist, "t.c") == (
        '#EXTM3U\n#EXT-X-MAP:URI="init.mp4?token=t.c"\n'
        '#EXT-X-PART:DURATION=0.2,URI="p1.m4s?token=t.c"\n'
        "#EXTINF:2.0,\nsegment_1.m4s?token=t.c\r\n\n"
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p2.m4s?x=1&token=t.c"\nlast.m4s?token=t.c'
    )


def served(studio: Studio) -> Served:
    status = Broadcast().status

    async def snapshot() -> bytes:
        return b"jpeg"

    hls = HlsSettings(segment_s=1)
    return Served(studio.broadcaster, status, snapshot=snapshot, hls=hls)


async def test_a_link_is_made_by_who_controls_and_plays_hls(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    access = Access(Secrets((CONTROL, VIEW)), TrustedProxies(["127.0.0.1"]))
    async with Studio() as studio, Server({"gate": served(studio)}, access=access) as server:
        studio.speed = 3
        links = f"{server.url}api/v1/links"
        wanted = {"path": "/hls/gate/index.m3u8", "seconds": 60}
        as_view = {"Authorization": f"Bearer {VIEW.secret}"}
        async with http.post(links, json=wanted, headers=as_view) as response:
            assert response.status == 403
            assert "needed is control" in await response.text()
        async with http.post(links, json=wanted, headers=BEARER) as response:
            assert response.status == 201
            link = await response.json()
        assert link["address"].startswith(f"{server.url}hls/gate/index.m3u8?token=")
        assert link["expires"].endswith("Z")
        async with http.get(link["address"]) as response:
            assert response.status == 200
            lines = (await response.text()).splitlines()
        segments = [line for line in lines if line and not line.startswith("#")]
        initial = next(line for line in lines if line.startswith("#EXT-X-MAP"))
        assert len(segments) == 3
        for address in [*segments, initial.split('"')[1]]:
            async with http.get(f"{server.url}hls/gate/{address}") as response:
                assert response.status == 200
            async with http.get(f"{server.url}hls/gate/{address.partition('?')[0]}") as response:
                assert response.status == 401
        query = link["address"].partition("?")[2]
        for path, status in [
            ("snapshot/gate.jpg", 401),
            ("hls/yard/index.m3u8", 401),
            ("api/streams", 401),
            ("metrics", 401),
        ]:
            async with http.get(f"{server.url}{path}?{query}") as response:
                assert response.status == status, path
        async with http.post(f"{link['address']}") as response:
            assert response.status == 401, "a link is to watch"
        forwarded = BEARER | {
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Host": "home.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Prefix": "/video",
        }
        async with http.post(links, json=wanted, headers=forwarded) as response:
            address = (await response.json())["address"]
            assert address.startswith("https://home.example/video/hls/gate/index.m3u8?token=")
    assert query.partition("=")[2] not in caplog.text


async def test_a_link_that_is_over_says_so(http: aiohttp.ClientSession) -> None:
    access = Access(Secrets((CONTROL,)))
    async with Server({"gate": served(Studio())}, access=access) as server:
        for until_s, status in [(time.time() + 60, 200), (time.time() - 60, 403)]:
            token = signed(CONTROL, "/snapshot/gate.jpg", until_s)
            async with http.get(f"{server.url}snapshot/gate.jpg?token={token}") as response:
                assert response.status == status
                text = await response.text()
        assert text.startswith("the link held until 20")
        async with http.get(f"{server.url}snapshot/gate.jpg?token={token}", headers=BEARER) as ok:
            assert ok.status == 200, "who has a token needs no link"
        stale = {"Authorization": "Basic " + b64encode(b"me:a-stale-token-of-it").decode()}
        good = signed(CONTROL, "/snapshot/gate.jpg", time.time() + 60)
        async with http.get(f"{server.url}snapshot/gate.jpg?token={good}", headers=stale) as ok:
            assert ok.status == 200


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"path": "/api/streams"}, "path"),
        ({"path": "/hls/gate/index.m3u8?x=1"}, "path"),
        ({"path": "/hls/gate/../yard"}, "path"),
        ({"path": "/hls/gate", "seconds": 0}, "seconds"),
        ({"path": "/hls/gate", "seconds": 1e9}, "seconds"),
        ({}, "path"),
        ({"path": "/hls/gate", "until": 1}, "until"),
    ],
)
async def test_a_link_that_cannot_be(
    http: aiohttp.ClientSession, body: dict[str, object], where: str
) -> None:
    async with Server({}, access=letting_in(CONTROL.secret)) as server:
        links = f"{server.url}api/v1/links"
        async with http.post(links, json=body, headers=BEARER) as response:
            assert response.status == 422
            assert where in (await response.json())["detail"]


async def test_a_link_to_a_camera_that_is_not_there(http: aiohttp.ClientSession) -> None:
    access = Access(Secrets((CONTROL,)))
    async with Server({"gate": served(Studio())}, access=access) as server:
        for path, status in [("/live/gate", 201), ("/live/yard", 422)]:
            links = f"{server.url}api/v1/links"
            async with http.post(links, json={"path": path}, headers=BEARER) as response:
                assert response.status == status
                said = await response.json(content_type=None)
    assert said["got"] == "yard"


async def test_without_a_token_no_link_is_needed(http: aiohttp.ClientSession) -> None:
    async with Server({}) as server:
        links = f"{server.url}api/v1/links"
        async with http.post(links, json={"path": "/hls/gate"}) as response:
            assert response.status == 409
            assert "need none" in (await response.json())["detail"]
