"""One face of a fleet: what a gateway shows and steers, of real nodes, through a move."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSMsgType
from aiortc import RTCConfiguration, RTCPeerConnection
from gateway_site import FleetSite, running_site
from peers.waiting import until

from streamsr.fleet.wanted import StaleError, successor

DEMO = {"input": {"url": "demo"}, "model": {"name": "bicubic"}, "output": {"scale": 1.0}}
URL = "rtsp://192.0.2.1/"
STREAMS = [{"name": name, "hls": {"segment_s": 1.0}} | DEMO for name in ("gate", "yard")]


async def until_live(session: ClientSession, *cameras: str) -> None:
    async def are_live() -> bool:
        async with session.get("/api/streams") as answer:
            states = {stream["name"]: stream["state"] for stream in await answer.json()}
        return states == dict.fromkeys(cameras, "live")

    await until_true(are_live, 60)


async def until_true(condition: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Waits until it is. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)


async def get(session: ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as answer:
        return answer.status, (await answer.read()).decode(errors="replace")


async def an_offer() -> str:
    """The offer of a viewer of one video (RFC 9725)."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("video", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    text = peer.localDescription.sdp
    await peer.close()
    return str(text)


async def move(site: FleetSite, camera: str) -> str:
    """Moves a camera to another host; returns its name once it is live there."""
    host = next(name for name in site.hosts if name != site.camera(camera).host)
    site.controller.move(camera, host)
    await until(lambda: (site.camera(camera).host, site.camera(camera).state) == (host, "live"), 40)
    return host


async def test_a_fleet_has_one_page_one_api_and_one_set_of_metrics(tmp_path: Path) -> None:
    async with running_site(tmp_path, "north", "south", streams=STREAMS) as (site, session):
        await until_live(session, "gate", "yard")
        assert {site.camera(name).host for name in ("gate", "yard")} == {"north", "south"}
        assert "overview" in (await get(session, "/"))[1]
        async with session.get("/api/v1/cameras") as answer:
            cameras = {camera["name"]: camera for camera in (await answer.json())["cameras"]}
        assert cameras["gate"]["status"]["output"] == "320x180"
        assert cameras["gate"]["settings"]["model"] == {"name": "bicubic"}
        status, models = await get(session, "/api/v1/models")
        assert (status, "bicubic" in models) == (200, True)
        status, node = await get(session, "/api/v1/node")
        assert '"cameras": 2, "live": 2' in node
        for path in ("/snapshot/gate.jpg", "/api/v1/cameras/yard/snapshot?width=80"):
            async with session.get(path) as answer:
                assert (answer.status, answer.content_type) == (200, "image/jpeg")
        status, metrics = await get(session, "/metrics")
        for name in ("gate", "yard"):
            label = f'host="{site.camera(name).host}",stream="{name}"'
            assert f"streamsr_stream_up{{{label}}} 1.0" in metrics
        assert metrics.count("# TYPE streamsr_stream_up gauge") == 1
        assert 'streamsr_fleet_host_up{host="north"} 1.0' in metrics
        assert (await get(session, "/api/v1/cameras/nobody/latency"))[0] == 404
        assert (await get(session, "/api/v1/cameras/gate/latency"))[0] == 200
        async with session.post("/whep/gate", data=b"no offer") as answer:
            assert answer.status == 415, "what the host says of it"
        headers = {"Content-Type": "application/sdp"}
        async with session.post("/whep/gate", data=await an_offer(), headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            secret = answer.headers["Location"]
            assert "m=video" in await answer.text()
        async with session.delete(f"/whep/{secret}") as answer:
            assert answer.status == 200
        async with session.delete(f"/whep/{secret}") as answer:
            assert answer.status == 404, "it has ended"


async def test_what_is_watched_goes_on_through_a_move(tmp_path: Path) -> None:
    async with running_site(tmp_path, "north", "south", streams=STREAMS) as (site, session):
        await until_live(session, "gate", "yard")
        status, before = await get(session, "/hls/gate/index.m3u8")
        assert (status, "#EXTM3U" in before) == (200, True)
        async with session.ws_connect("/live/gate") as socket:
            assert "codecs" in str(await socket.receive_str(timeout=10))
            assert await socket.receive_bytes(timeout=10)
            was = site.camera("gate").host
            moving = asyncio.create_task(move(site, "gate"))
            again = ""
            while not again:  # the next host's stream begins with a text of its own
                message = await socket.receive(timeout=30)
                assert message.type in (WSMsgType.BINARY, WSMsgType.TEXT), message
                again = message.data if message.type is WSMsgType.TEXT else ""
            assert "codecs" in again
            assert await moving != was
        status, after = await get(session, "/hls/gate/index.m3u8")
        assert (status, "#EXTM3U" in after) == (200, True)
        assert sequence(after) > sequence(before), "players go on, and do not begin again"
        segment = next(line for line in after.splitlines() if line.endswith(".m4s"))
        async with session.get(f"/hls/gate/{segment}") as answer:
            assert answer.status == 200
            assert answer.content_type == "video/iso.segment"


def sequence(playlist: str) -> int:
    head = "#EXT-X-MEDIA-SEQUENCE:"
    return int(next(line for line in playlist.splitlines() if line.startswith(head))[len(head) :])


async def test_what_is_changed_holds_wherever_the_camera_goes(tmp_path: Path) -> None:
    async with running_site(tmp_path, "north", "south", streams=STREAMS) as (site, session):
        await until_live(session, "gate", "yard")
        async with session.patch("/api/v1/cameras/gate", json={"size": "640x360"}) as answer:
            assert answer.status == 200, await answer.text()
            assert (await answer.json())["size"] == "640x360"

        async def is_larger() -> bool:
            async with session.get("/api/v1/cameras/gate") as answer:
                return str((await answer.json())["status"]["output"]) == "640x360"

        await until_true(is_larger, 30)
        await move(site, "gate")
        await until_true(is_larger, 30)
        async with session.patch("/api/v1/cameras/gate", json={"model": "none such"}) as answer:
            assert answer.status == 422, "and it says which there are"
        async with session.delete("/api/v1/cameras/yard") as answer:
            assert answer.status == 204
        await until_live(session, "gate")
        asked = {"name": "roof", "url": "demo", "model": "bicubic"}
        async with session.post("/api/v1/cameras", json=asked) as answer:
            assert answer.status == 201, await answer.text()
        await until_live(session, "gate", "roof")


async def test_what_two_gateways_change_at_once_both_holds(tmp_path: Path) -> None:
    streams = [stream | {"enabled": False} for stream in STREAMS]  # nothing has to run
    async with running_site(tmp_path, streams=streams) as (site, session):

        def another_changes() -> None:
            before = site.controller.wanted
            gate, yard = before.cameras
            yard = replace(yard, priority=yard.priority + 1)
            after = replace(before, cameras=(gate, yard))
            site.controller.want(successor(after, before), time.monotonic())

        site.meanwhile.append(another_changes)
        async with session.patch("/api/v1/cameras/gate", json={"size": "640x360"}) as answer:
            assert answer.status == 200, await answer.text()
        gate, yard = site.controller.wanted.cameras
        assert gate.settings["output"]["size"] == "640x360"
        assert yard.priority == 1
        site.meanwhile += [another_changes] * 2
        async with session.post("/api/v1/cameras", json={"name": "new", "url": URL}) as answer:
            assert answer.status == 201, await answer.text()
        site.meanwhile.clear()
        assert [camera.name for camera in site.controller.wanted.cameras] == ["gate", "yard", "new"]
        with pytest.raises(StaleError, match="got a change of version 1, and it has 6 by now"):
            successor(replace(site.controller.wanted, version=1), site.controller.wanted)


async def test_a_camera_that_no_host_has_says_why(tmp_path: Path) -> None:
    streams = [STREAMS[0] | {"labels": {"site": "nowhere"}}, STREAMS[1]]
    async with running_site(tmp_path, "north", streams=streams) as (site, session):
        await until(lambda: site.camera("yard").state == "live", 40)
        async with session.get("/api/v1/cameras/gate") as answer:
            gate = await answer.json()
        assert gate["status"]["state"] == "down"
        assert gate["status"]["reason"] == "no host that is up has site=nowhere"
        async with session.post("/whep/gate", data=b"") as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers


async def test_hosts_let_in_who_has_their_token_alone(tmp_path: Path) -> None:
    token = tmp_path / "main"
    token.write_text("Zm9yIHRoZSBnYXRld2F5IQ")
    serve = {"listen": "127.0.0.1:0", "token_file": str(token)}
    async with running_site(tmp_path, "north", streams=STREAMS, serve=serve) as (site, session):
        await until(lambda: site.camera("gate").state == "live", 40)
        (address,) = await site.addresses()
        async with ClientSession(address.url) as stranger:
            assert (await get(stranger, "/api/v1/cameras"))[0] == 401
        assert (await get(session, "/snapshot/gate.jpg"))[0] == 401
        allowed = {"Authorization": f"Bearer {token.read_text()}"}
        async with session.get("/snapshot/gate.jpg", headers=allowed) as answer:
            assert answer.status == 200
        link = {"path": "/hls/gate/index.m3u8"}
        async with session.post("/api/v1/links", json=link, headers=allowed) as answer:
            path = (await answer.json())["address"].partition(site.url.rstrip("/"))[2]
        status, playlist = await get(session, path)
        assert status == 200
        inside = re.search(r"(seg_\d+\.m4s\?token=[^\s\"]+)", playlist)
        assert inside is not None
        assert (await get(session, f"/hls/gate/{inside[1]}"))[0] == 200
        assert address.token not in repr(address)
