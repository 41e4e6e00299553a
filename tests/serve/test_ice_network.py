"""Where WebRTC's sockets are, and what viewers are told of them."""

import os
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import ifaddr
import pytest
from broadcast import OUTPUT_SIZE, Broadcast
from peers.turn import TurnServer
from peers.waiting import until
from viewer import SDP, Viewer, candidates, make_offer

from streamsr.core.errors import ConfigError
from streamsr.core.settings import IceServerSettings, WebRtcSettings
from streamsr.serve.app import Server
from streamsr.serve.whip.publish_point import PublishPoint

ANNOUNCED = ("192.0.2.10", "2001:db8::10")


def udp_ports_of_this_process() -> set[int]:
    """The local ports of its UDP sockets, as Linux lists them."""
    ours = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        ours.add(target.removeprefix("socket:[").rstrip("]"))
    lines = [
        line.split()
        for table in ("udp", "udp6")
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]
    ]
    return {int(words[1].rpartition(":")[2], 16) for words in lines if words[9] in ours}


def free_range(count: int) -> range:
    """So many UDP ports in a row that nothing uses."""
    for first in range(50_000, 60_000, count):
        ports = range(first, first + count)
        try:
            for port in ports:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("0.0.0.0", port))
        except OSError:
            continue
        return ports
    raise AssertionError("no free ports")


def settings_of(ports: range, **more: object) -> WebRtcSettings:
    return WebRtcSettings(udp_ports=f"{ports[0]}-{ports[-1]}", **more)  # type: ignore[arg-type]


async def test_all_sockets_are_in_the_range(http: aiohttp.ClientSession) -> None:
    ports = free_range(5)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, webrtc=settings_of(ports)) as server,
    ):
        offer = await make_offer("video")
        before = udp_ports_of_this_process()
        async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP) as response:
            answer = await response.text()
        opened = udp_ports_of_this_process() - before
        assert opened
        assert opened <= set(ports)
        assert {port for _, port, _ in candidates(answer)} == opened
        async with Viewer(http, server.url) as viewer:
            assert {port for _, port, _ in candidates(viewer.answer)} <= set(ports)
            frame = await viewer.frame()
            assert (frame.width, frame.height) == OUTPUT_SIZE


async def test_a_full_range_is_said_and_is_free_again_later(http: aiohttp.ClientSession) -> None:
    ports = free_range(1)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, webrtc=settings_of(ports)) as server,
    ):
        async with Viewer(http, server.url) as viewer:
            await viewer.frame()
            offer = await make_offer("video")
            async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP) as response:
                assert response.status == 503
                assert response.headers["Retry-After"]
                text = await response.text()
            assert f"allowed are {ports[0]}-{ports[0]} (webrtc.udp_ports)" in text
            assert server.viewers == 1
            async with http.delete(viewer.location) as response:
                assert response.status == 200
        async with Viewer(http, server.url) as viewer:
            await viewer.frame()


async def test_publishers_are_in_the_range_too(http: aiohttp.ClientSession) -> None:
    ports = free_range(1)
    webrtc = settings_of(ports, announce=ANNOUNCED)
    offer = await make_offer("video", direction="sendonly")
    async with PublishPoint() as one, PublishPoint() as two:
        stream = Broadcast().served
        served = {n: replace(stream, publish_point=p) for n, p in (("one", one), ("two", two))}
        async with Server(served, webrtc=webrtc) as server:
            async with http.post(f"{server.url}whip/one", data=offer, headers=SDP) as response:
                assert response.status == 201
                found = candidates(await response.text())
            assert {port for _, port, _ in found} == set(ports)
            assert ANNOUNCED[0] in {host for host, _, _ in found}
            async with http.post(f"{server.url}whip/two", data=offer, headers=SDP) as response:
                assert response.status == 503
                assert "webrtc.udp_ports" in await response.text()


async def test_announced_addresses_have_the_ports_of_the_sockets(
    http: aiohttp.ClientSession,
) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, webrtc=WebRtcSettings(announce=ANNOUNCED)) as server,
        Viewer(http, server.url) as viewer,
    ):
        found = candidates(viewer.answer)
        real = {(":" in host, port) for host, port, _ in found if host not in ANNOUNCED}
        told = {(":" in host, port) for host, port, _ in found if host in ANNOUNCED}
        assert told == real
        assert found[0][0] == ANNOUNCED[0]
        assert all(kind == "host" for _, _, kind in found)
        await viewer.frame()


def adapters_of(addresses: dict[str, Sequence[str]]) -> list[ifaddr.Adapter]:
    ips = defaultdict(list)
    for name, found in addresses.items():
        for address in found:
            value = (address, 0, 0) if ":" in address else address
            ips[name].append(ifaddr.IP(value, 24, name))
    return [ifaddr.Adapter(name, name, ips[name]) for name in addresses]


@pytest.mark.parametrize(
    ("interfaces", "expected"),
    [
        ((), {"127.0.0.2", "::1"}),
        (("docker0",), {"127.0.0.3"}),
        (("e*", "docker0"), {"127.0.0.2", "::1", "127.0.0.3"}),
        (("lo",), {"127.0.0.1"}),
        (("nothing",), {"127.0.0.1"}),
    ],
)
async def test_only_interfaces_that_lead_somewhere_are_used(
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    interfaces: tuple[str, ...],
    expected: set[str],
) -> None:
    """Real addresses of loopback stand for those of the interfaces: sockets are bound to them."""
    named = {
        "lo": ["127.0.0.1"],
        "eth0": ["127.0.0.2", "169.254.7.7", "fe80::7", "::1"],
        "docker0": ["127.0.0.3"],
        "br-0a1b2c3d": ["127.0.0.4"],
        "veth12": ["127.0.0.5"],
    }
    monkeypatch.setattr("ifaddr.get_adapters", lambda: adapters_of(named))
    monkeypatch.setattr(
        "ipaddress.IPv4Address.is_loopback", property(lambda address: str(address) == "127.0.0.1")
    )
    monkeypatch.setattr("ipaddress.IPv6Address.is_loopback", property(lambda address: False))
    offer = await make_offer("video")
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, webrtc=WebRtcSettings(interfaces=interfaces)) as s,
        http.post(f"{s.url}whep/camera", data=offer, headers=SDP) as response,
    ):
        assert {host for host, _, _ in candidates(await response.text())} == expected


def turn_settings(url: str, user: str, password: str, folder: Path) -> IceServerSettings:
    file = folder / "credential"
    file.write_text(f"{password}\nsecond line\n")
    return IceServerSettings(urls=(url,), username=user, credential_file=file)


async def test_video_passes_by_a_turn_server_over_tcp(
    http: aiohttp.ClientSession, turn_server: TurnServer, tmp_path: Path
) -> None:
    url = f"{turn_server.url}?transport=tcp"
    ice = turn_settings(url, turn_server.user, turn_server.password, tmp_path)
    relayed = lambda line: "candidate:" not in line or " typ relay" in line  # noqa: E731
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, webrtc=WebRtcSettings(ice_servers=(ice,))) as server,
        Viewer(http, server.url, keep=relayed) as viewer,
    ):
        await viewer.frame()


async def test_video_passes_where_only_a_turn_server_can_be_reached(
    http: aiohttp.ClientSession,
    turn_server: TurnServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And its password is in nothing but what the page is told."""
    caplog.set_level(0)
    ice = turn_settings(turn_server.url, turn_server.user, turn_server.password, tmp_path)
    ports = free_range(4)
    async with (
        Broadcast() as broadcast,
        Server(
            {"camera": broadcast.served}, webrtc=settings_of(ports, ice_servers=(ice,))
        ) as server,
    ):
        before = udp_ports_of_this_process()
        offer = await make_offer("video")
        async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP) as response:
            assert [kind for *_, kind in candidates(await response.text())][-1] == "relay"
            link = f'<{turn_server.url}>; rel="ice-server"; username="{turn_server.user}"'
            assert response.headers.getall("Link")[0].startswith(f"{link}; credential=")
        assert udp_ports_of_this_process() - before <= set(ports)
        relayed = lambda line: "candidate:" not in line or " typ relay" in line  # noqa: E731
        async with Viewer(http, server.url, keep=relayed) as viewer:
            frame = await viewer.frame()
            assert (frame.width, frame.height) == OUTPUT_SIZE
        async with http.get(f"{server.url}api/v1/viewer") as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert await response.json() == {
                "prefer": "webrtc",
                "ice_servers": [
                    {
                        "urls": [turn_server.url],
                        "username": turn_server.user,
                        "credential": turn_server.password,
                    }
                ],
            }
        (tmp_path / "credential").write_text("another-password\n")
        async with http.get(f"{server.url}api/v1/viewer") as response:
            assert (await response.json())["ice_servers"][0]["credential"] == "another-password"
        await until(lambda: server.viewers <= 1)
    assert turn_server.password not in caplog.text


async def test_a_turn_server_that_is_away_delays_a_viewer_by_two_seconds_at_most(
    http: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        url = f"turn:127.0.0.1:{mute.getsockname()[1]}"
        ice = turn_settings(url, "user", "a-password-of-nobody", tmp_path)
        async with (
            Broadcast() as broadcast,
            Server(
                {"camera": broadcast.served}, webrtc=WebRtcSettings(ice_servers=(ice,))
            ) as server,
            Viewer(http, server.url) as viewer,  # its client gives up after 5 s
        ):
            await viewer.frame()
    assert "1 of 1 requests to STUN and TURN servers failed" in caplog.text


def test_a_credential_that_cannot_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    ice = turn_settings("turn:127.0.0.1", "user", "secret-of-turn", tmp_path)
    (tmp_path / "credential").unlink()
    with pytest.raises(ConfigError, match=r"credential_file .*cannot be read: No such file"):
        Server({}, webrtc=WebRtcSettings(ice_servers=(ice,)))
    (tmp_path / "credential").touch()
    with pytest.raises(ConfigError, match="got 0 bytes in its first line"):
        Server({}, webrtc=WebRtcSettings(ice_servers=(ice,)))
