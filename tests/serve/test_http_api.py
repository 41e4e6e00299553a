"""The API: cameras are listed, added, changed and removed; what is wrong is told as problems."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from peers.steered_node import JPEG, SteeredNode

from streamsr.control.changes import CameraChange
from streamsr.core.redact import protect, redact
from streamsr.core.redact.secrets import _secrets
from streamsr.core.settings import IceServerSettings, StreamSettings, WebRtcSettings
from streamsr.serve.access.access import Access
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server

URL = "rtsp://user:secretword@10.0.0.1/live?token=othersecret"
SETTINGS: dict[str, Any] = {
    "name": "gate",
    "input": {"url": URL},
    "model": {"name": "fast"},
    "publish": [{"url": "rtsp://up:thirdsecret@10.0.0.2/gate"}],
    "record": {"folder": "recordings", "enabled": False},
}
SECRETS = ("secretword", "othersecret", "thirdsecret", "newsecret")
JSON = "application/json"
WAITING = {"publish": [{"url": "@/dev/ptmx"}]}  # for a line that never comes


def steered() -> SteeredNode:
    gate = StreamSettings.model_validate(SETTINGS)
    yard = StreamSettings.model_validate({"name": "yard", "input": {"url": "demo"}})
    for url in (gate.input.url, gate.publish[0].url):
        protect(url)  # as a node does of what it runs
    return SteeredNode(gate, yard, folder=Path("recordings").absolute())


@asynccontextmanager
async def serving(node: SteeredNode, access: Access | None = None) -> AsyncIterator[str]:
    async with Server(node.served, node=node, access=access) as server:
        yield f"{server.url}api/v1"


@pytest.fixture
def node() -> SteeredNode:
    return steered()


@pytest.fixture
async def api(node: SteeredNode) -> AsyncIterator[str]:
    async with serving(node) as url:
        yield url


async def asked(
    http: aiohttp.ClientSession, method: str, url: str, status: int = 200, **more: Any
) -> Any:
    async with http.request(method, url, **more) as response:
        text = await response.text()
        assert response.status == status, text
        kind = JSON if status < 400 else "application/problem+json"
        assert response.content_type == kind or not text
        assert not any(secret in text for secret in SECRETS)
        return await response.json(content_type=None) if text else None


async def test_cameras_are_listed_without_their_secrets(
    http: aiohttp.ClientSession, api: str
) -> None:
    found = await asked(http, "GET", f"{api}/cameras")
    assert [camera["name"] for camera in found["cameras"]] == ["gate", "yard"]
    gate = await asked(http, "GET", f"{api}/cameras/gate")
    assert gate == found["cameras"][0]
    assert gate["url"] == "rtsp://***@10.0.0.1/live?***"
    assert (gate["model"], gate["enabled"], gate["recording"]) == ("fast", True, False)
    assert gate["settings"]["publish"][0]["url"].startswith("rtsp://***@10.0.0.2/")
    assert gate["status"]["state"] == "live"
    assert gate["outputs"][0]["state"] == "up"


async def test_a_camera_is_added_changed_and_removed(
    http: aiohttp.ClientSession, api: str, node: SteeredNode
) -> None:
    new = {"name": "new", "url": "rtsp://a:newsecret@10.0.0.9/x", "size": "720p"}
    async with http.post(f"{api}/cameras", json=new) as response:
        assert response.status == 201
        place = response.headers["Location"]
        assert (place, (await response.json())["size"]) == ("cameras/new", "720p")
    changes = {"enabled": False, "model": "bicubic", "size": None}
    found = await asked(http, "PATCH", f"{api}/{place}", json=changes)
    assert (found["enabled"], found["model"], found["size"]) == (False, "bicubic", None)
    assert node.streams["new"].input.url == new["url"], "a change without an address keeps it"
    assert await asked(http, "DELETE", f"{api}/{place}", 204) is None
    await asked(http, "GET", f"{api}/{place}", 404)


async def test_a_merge_patch_may_be_called_one(http: aiohttp.ClientSession, api: str) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    found = await asked(
        http, "PATCH", f"{api}/cameras/gate", data=b'{"recording": true}', headers=headers
    )
    assert found["recording"] is True


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "cameras/none", None, 404, {"where": "camera", "allowed": ["gate", "yard"]}),
        ("GET", "cameras/no%20name", None, 404, {"where": "camera"}),
        ("GET", "nothing", None, 404, {}),
        ("PUT", "cameras", None, 405, {}),
        ("GET", "cameras?x=1", None, 422, {"where": "query", "got": "x", "allowed": []}),
        ("PATCH", "cameras/gate", {"size": "big"}, 422, {}),
        ("PATCH", "cameras/gate", {"modle": "fast"}, 422, {}),
        ("PATCH", "cameras/gate", [], 422, {"where": "body", "got": "list"}),
        ("PATCH", "cameras/yard", {"recording": True}, 422, {}),
        ("PATCH", "cameras/gate", {"enabled": "yes"}, 422, {}),
        ("POST", "cameras", {"name": "gate", "url": "demo"}, 409, {}),
        ("POST", "cameras", {"name": "x/y", "url": "demo"}, 422, {}),
        ("POST", "cameras", {"url": "demo"}, 422, {}),
        ("POST", "cameras", {"name": "x", "url": "demo", "settings": WAITING}, 422, {}),
        ("PATCH", "cameras/gate", {"settings": WAITING}, 422, {}),
        ("GET", "cameras/gate/snapshot?width=-1", None, 422, {"where": "query width"}),
        ("GET", "cameras/gate/snapshot?width=1&width=2", None, 422, {"got": 2}),
    ],
)
async def test_what_is_wrong_is_told(
    http: aiohttp.ClientSession,
    api: str,
    method: str,
    path: str,
    body: object,
    status: int,
    told: dict[str, Any],
) -> None:
    more = {"json": body} if body is not None else {}
    problem = await asked(http, method, f"{api}/{path}", status, **more)
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert problem["title"]
    assert problem["detail"]
    assert {key: problem.get(key) for key in told} == told


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"enabled": true', JSON, 400),
        (b'{"enabled": NaN}', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b'{"model": "\\ud800"}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b'{"a":' * 20_000, JSON, 400),
        (b" " * 200_000, JSON, 413),
        (b"enabled=1", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/json", 415),
        (b"{}", "application/merge-patch+json; charset=utf-8", 200),
    ],
)
async def test_bodies_that_are_none(
    http: aiohttp.ClientSession, api: str, body: bytes, kind: str, status: int
) -> None:
    headers = {"Content-Type": kind}
    await asked(http, "PATCH", f"{api}/cameras/gate", status, data=body, headers=headers)


async def test_what_may_be_asked_of_a_path(http: aiohttp.ClientSession, api: str) -> None:
    async with http.options(f"{api}/cameras/gate") as response:
        assert response.status == 204
        assert response.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
        assert JSON in response.headers["Accept-Patch"]
    async with http.head(f"{api}/cameras") as response:
        assert (response.status, response.content_type) == (200, JSON)
    async with http.put(f"{api}/cameras/gate") as response:
        assert response.status == 405
        assert "PATCH" in response.headers["Allow"]


async def test_who_may_view_changes_nothing(http: aiohttp.ClientSession) -> None:
    tokens = (
        Token("wall", "view", "watch-on-the-wall"),
        Token("home", "control", "control-at-home-1"),
    )
    node = steered()
    async with serving(node, Access(Secrets(tokens))) as api:
        viewer, control = ({"Authorization": f"Bearer {token.secret}"} for token in tokens)
        await asked(http, "GET", f"{api}/cameras", 401)
        await asked(http, "GET", f"{api}/cameras", headers=viewer)
        await asked(http, "GET", f"{api}/cameras/gate/recordings", headers=viewer)
        for method, path in [
            ("POST", "cameras"),
            ("PATCH", "cameras/gate"),
            ("DELETE", "cameras/gate"),
            ("POST", "cameras/gate/self-check"),
        ]:
            problem = await asked(http, method, f"{api}/{path}", 403, headers=viewer, json={})
            assert "control" in problem["detail"]
        await asked(http, "DELETE", f"{api}/cameras/gate", 204, headers=control)
    assert list(node.streams) == ["yard"]


async def test_snapshots_are_shrunk_and_shared(
    http: aiohttp.ClientSession, api: str, node: SteeredNode
) -> None:
    async def taken() -> bytes:
        async with http.get(f"{api}/cameras/gate/snapshot?width=320") as response:
            assert (response.status, response.content_type) == (200, "image/jpeg")
            return await response.read()

    assert set(await asyncio.gather(*(taken() for _ in range(20)))) == {JPEG}
    assert node.widths == [320]
    statuses = []
    for width in range(100, 110):
        async with http.get(f"{api}/cameras/gate/snapshot?width={width}") as response:
            statuses.append(response.status)
    assert statuses.count(429) >= 4, "each width is coded by itself"
    async with http.get(f"{api}/cameras/gate/snapshot") as response:
        assert response.status == 200
    await asked(http, "PATCH", f"{api}/cameras/yard", json={"enabled": False})
    problem = await asked(http, "GET", f"{api}/cameras/yard/snapshot", 409)
    assert "no frame" in problem["detail"]


async def test_self_checks_node_and_models(
    http: aiohttp.ClientSession, api: str, node: SteeredNode
) -> None:
    wanted = {"model": "fast", "gain_db": 1.25, "loses": False, "checks": {"made": 1}}
    assert await asked(http, "POST", f"{api}/cameras/gate/self-check") == wanted
    assert await asked(http, "GET", f"{api}/cameras/gate/self-check") == wanted
    off = {"settings": {"model": {"self_check_s": 0}}}
    await asked(http, "PATCH", f"{api}/cameras/gate", json=off)
    await asked(http, "POST", f"{api}/cameras/gate/self-check", 409)
    assert (await asked(http, "GET", f"{api}/models"))["models"] == ["auto", "bicubic", "fast"]
    assert (await asked(http, "GET", f"{api}/node"))["name"] == "home"


async def test_the_document_names_every_route(http: aiohttp.ClientSession, node: Any) -> None:
    async with Server(node.served, node=node) as server:
        document = await asked(http, "GET", f"{server.url}api/v1/openapi.json")
        served = {
            (route.method, route.path.removeprefix("/api/v1"))
            for route in server.routes
            if route.path.startswith("/api/v1/") and route.method != "OPTIONS"
        }
    documented = {(method.upper(), path) for path, ms in document["paths"].items() for method in ms}
    files = {("GET", path) for path in ("/openapi.json", "/docs", "/docs.css")}
    assert documented == served - files
    assert document["openapi"] == "3.1.0"
    told = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for path in document["paths"]:
        example = re.sub(r"\\{\w+\\}", r"[\\w.-]+", re.escape(path))
        assert re.search(rf"/api/v1{example}(?![\w/])", told), f"docs/api.md tells of {path}"


async def test_ice_servers_are_told_as_browsers_take_them(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "turn").write_text("canary-of-turn\n")
    stun = IceServerSettings(urls=("stun:stun.example",))
    turn = IceServerSettings(
        urls=("turn:turn.example",), username="me", credential_file=tmp_path / "turn"
    )
    async with Server({}, webrtc=WebRtcSettings(ice_servers=(stun, turn))) as server:
        told = await asked(http, "GET", f"{server.url}api/v1/viewer")
        document = await asked(http, "GET", f"{server.url}api/v1/openapi.json")
    assert told["ice_servers"] == [
        {"urls": ["stun:stun.example"]},
        {"urls": ["turn:turn.example"], "username": "me", "credential": "canary-of-turn"},
    ]
    kinds = document["components"]["schemas"]
    assert "credential" in kinds["TurnServer"]["properties"]


async def test_the_page_of_it_needs_nothing_from_elsewhere(
    http: aiohttp.ClientSession, api: str
) -> None:
    async with http.get(f"{api}/docs") as response:
        text, tag = await response.text(), response.headers["ETag"]
        assert (response.status, response.content_type) == (200, "text/html")
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "<script" not in text
    assert "style=" not in text
    assert "://" not in text.replace("rtsp://", "")
    assert "/cameras/{camera}" in text
    async with http.get(f"{api}/docs", headers={"If-None-Match": tag}) as response:
        assert response.status == 304
    async with http.get(f"{api}/docs.css") as response:
        assert (response.status, response.content_type) == (200, "text/css")


async def test_changes_that_cross_each_other_are_answered(
    http: aiohttp.ClientSession, api: str, node: SteeredNode
) -> None:
    change, between = node.change, node.settings_of("gate")

    async def removed_meanwhile(camera: str, asked: CameraChange) -> None:
        await change(camera, asked)
        await node.remove(camera)

    node.change = removed_meanwhile
    await asked(http, "PATCH", f"{api}/cameras/gate", 404, json={"enabled": False})
    node.settings_of = lambda camera: between  # it is known, and between an end and a start
    async with http.get(f"{api}/cameras/gate") as response:
        assert response.status == 409
        assert int(response.headers["Retry-After"]) > 0


async def test_addresses_that_were_sent_are_not_known_for_good(
    http: aiohttp.ClientSession, api: str
) -> None:
    async def ask(first: int, last: int) -> int:
        for number in range(first, last):
            url = f"rtsp://u:visitor-{number}@10.0.0.9/live"
            new = {"name": f"c{number}", "url": url, "model": "none"}
            await asked(http, "POST", f"{api}/cameras", 422, json=new)
            await asked(http, "PATCH", f"{api}/cameras/yard", json={"url": url})
        return len(_secrets)

    known = await ask(0, 200)  # Python's urlsplit holds the last 128 as well
    assert await ask(200, 400) < known + 100
    assert redact("visitor-399, visitor-99") == "***, visitor-99"
