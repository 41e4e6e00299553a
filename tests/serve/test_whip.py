"""Publishing by WHIP: with FFmpeg's publisher, and a browser's camera."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import av
import pytest
from aiortc import RTCIceCandidate, RTCPeerConnection
from aiortc.rtp import RtpPacket
from broadcast import Broadcast
from peers import number_in, packets, seen
from peers.certificates import Authority
from peers.waiting import until
from soak import counts
from test_http import garbage
from viewer import SDP, make_offer

from streamsr.core.packet import Track
from streamsr.core.status import StreamState
from streamsr.media.addresses import PUBLISHED
from streamsr.media.container import Container
from streamsr.serve.access.access import Access
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token
from streamsr.serve.app import Server
from streamsr.serve.whip.publish_point import PublishPoint
from streamsr.serve.whip.publisher import Publisher

CLIP_FRAMES = 100  # then it begins again
PUBLISHER = Path(__file__).parents[1] / "peers" / "whip_publisher.py"


@dataclass
class Site:
    url: str
    point: PublishPoint
    token: str = ""


@asynccontextmanager
async def site(access: Access | None = None) -> AsyncIterator[Site]:
    async with PublishPoint() as point:
        served = replace(Broadcast().served, publish_point=point)
        async with Server({"cam": served, "other": Broadcast().served}, access=access) as server:
            yield Site(f"{server.url}whip/", point)


@pytest.fixture
def publish(tmp_path: Path, clip: Callable[..., Path]) -> Callable[..., object]:
    """``with publish(address):`` a process that publishes there; it has been let in."""
    certificate, key = Authority(tmp_path).sign()

    @contextmanager
    def publishing(
        address: str, token: str = "", file: Path | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, PUBLISHER, address, file or clip(), certificate, key, token]
        words, pipe = [str(word) for word in command], subprocess.PIPE
        with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    return publishing


async def let_in(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    if line != "published\n":
        assert process.stderr is not None
        raise AssertionError(process.stderr.read())


@dataclass
class Received:
    numbers: list[int | None]
    times: list[float]
    heard: list[float]


def received(address: str, frames: int) -> Received:
    """What a worker would read at the address of a publish point."""
    found = Received([], [], [])
    with av.open(address.removeprefix(f"{PUBLISHED}+"), timeout=(10, 5)) as container:
        for frame in container.decode():
            assert frame.time is not None
            if isinstance(frame, av.VideoFrame):
                found.numbers.append(number_in(frame))
                found.times.append(frame.time)
            else:
                found.heard.append(frame.time)
            if len(found.numbers) == frames:
                return found
    return found


async def test_what_ffmpeg_publishes_is_handed_on_undecoded(
    publish: Callable[..., object],
) -> None:
    async with site() as here:
        reading = asyncio.create_task(asyncio.to_thread(received, here.point.address, 60))
        with publish(f"{here.url}cam") as process:
            await let_in(process)
            found = await reading
    numbers = [n for n in found.numbers if n is not None]
    assert len(numbers) == 60
    assert {(b - a) % CLIP_FRAMES for a, b in pairwise(numbers)} == {1}
    assert found.times == sorted(found.times)
    assert found.times[-1] - found.times[0] == pytest.approx(59 / 25, abs=0.2)
    assert len(found.heard) > 80


def beeping(path: Path) -> Path:
    """Writes six seconds in which a beep begins with every 25th frame."""
    container = Container(str(path), {}, "mp4")
    for packet in packets():
        if packet.track is Track.AAC:
            container.audio(packet.data, packet.pts, packet.time_base, 1024)
            continue
        if packet.pts == 0:
            container.add_video(packet, Fraction(25))
            container.add_audio()
            container.begin()
        if packet.pts >= 6 * 90_000:
            container.close()
            return path
        container.video(packet, packet.pts)
    raise AssertionError


async def test_audio_stays_beside_its_frames(
    publish: Callable[..., object], tmp_path: Path
) -> None:
    clip = await asyncio.to_thread(beeping, tmp_path / "beeps.mp4")
    async with site() as here:
        address = here.point.address.removeprefix(f"{PUBLISHED}+")
        reading = asyncio.create_task(asyncio.to_thread(seen, address, 4 * 25))
        with publish(f"{here.url}cam", file=clip) as process:
            await let_in(process)
            found = await reading
    assert found.offset_s(found.times[25]) < 0.1


async def test_one_publishes_at_a_time_and_the_next_one_when_it_has_gone(
    http: aiohttp.ClientSession, publish: Callable[..., object]
) -> None:
    async with site() as here:
        offer = await make_offer("video", "audio", direction="sendonly")
        with publish(f"{here.url}cam") as process:
            await let_in(process)
            async with http.post(f"{here.url}cam", data=offer, headers=SDP) as response:
                assert response.status == 409
                assert response.headers["Retry-After"]
        # killed: it says nothing, and is missed

        async def is_free() -> bool:
            async with http.post(f"{here.url}cam", data=offer, headers=SDP) as response:
                if response.status == 409:
                    await asyncio.sleep(0.05)  # slower than the server's rate limit
                    return False
                assert response.status == 201
                assert "a=recvonly" in await response.text()
                location = urljoin(str(response.url), response.headers["Location"])
            async with http.delete(location) as response:
                assert response.status == 200
            async with http.delete(location) as response:
                assert response.status == 404
            return True

        async with asyncio.timeout(10):
            while not await is_free():
                pass
        reading = asyncio.create_task(asyncio.to_thread(received, here.point.address, 10))
        with publish(f"{here.url}cam") as process:
            await let_in(process)
            assert len((await reading).numbers) == 10


async def test_who_may_publish(http: aiohttp.ClientSession, publish: Callable[..., object]) -> None:
    control = Token("obs", "control", "the-token-of-who-publishes")
    view = Token("wall", "view", "the-token-of-who-watches")
    offer = await make_offer("video", direction="sendonly")
    async with site(Access(Secrets((control, view)))) as here:
        for token, status in [("", 401), (view.secret, 403), (control.secret, 201)]:
            headers = SDP | ({"Authorization": f"Bearer {token}"} if token else {})
            async with http.post(f"{here.url}cam", data=offer, headers=headers) as response:
                assert response.status == status
        location = urljoin(f"{here.url}cam", response.headers["Location"])
        for token, status in [(view.secret, 403), (control.secret, 200)]:
            headers = {"Authorization": f"Bearer {token}"}
            async with http.delete(location, headers=headers) as response:
                assert response.status == status
        with publish(f"{here.url}cam", control.secret) as process:
            await let_in(process)


@pytest.mark.parametrize(
    ("stream", "change", "status", "said"),
    [
        ("other", ("", ""), 404, 'input.url = "whip"'),
        ("nothing", ("", ""), 404, 'input.url = "whip"'),
        ("cam", ("a=sendonly", "a=recvonly"), 406, "no video that is sendonly"),
        ("cam", ("H264", "H999"), 406, "H.264 and Opus are taken"),
        ("cam", ("v=0", "v=1"), 400, "not a session description"),
    ],
)
async def test_what_is_refused(
    http: aiohttp.ClientSession, stream: str, change: tuple[str, str], status: int, said: str
) -> None:
    offer = (await make_offer("video", direction="sendonly")).replace(*change)
    async with site() as here:
        async with http.post(f"{here.url}{stream}", data=offer, headers=SDP) as response:
            assert response.status == status
            assert said in await response.text()
        free = await make_offer("video", direction="sendonly")
        async with http.post(f"{here.url}cam", data=free, headers=SDP) as response:
            assert response.status == 201, "nothing is left of the one before"


async def test_the_address_for_the_worker_is_for_nobody_else(
    http: aiohttp.ClientSession,
) -> None:
    async with site() as here:
        address = here.point.address.removeprefix(f"{PUBLISHED}+")
        place = address.rpartition("/")[0]
        for path in ("", "x", "../"):
            async with http.get(f"{place}/{path}") as response:
                assert response.status == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", int(place.rpartition(":")[2]))
        writer.write(b"\r\n\r\n")
        assert await reader.read() in (b"", b"HTTP/1.1 404 Not Found\r\n")
        writer.close()


async def test_a_stop_ends_the_publisher(publish: Callable[..., object]) -> None:
    async with site() as here:
        with publish(f"{here.url}cam") as process:
            await let_in(process)
            await until(lambda: here.point._publisher is not None)
    assert here.point._publisher is None


async def test_a_packet_that_is_lost_for_good_costs_what_is_up_to_the_next_keyframe(
    publish: Callable[..., object],
) -> None:
    async with site() as here:
        reading = asyncio.create_task(asyncio.to_thread(received, here.point.address, 100))
        with publish(f"{here.url}cam") as process:
            await let_in(process)
            await until(lambda: here.point._publisher is not None)
            publisher = here.point._publisher
            assert publisher is not None
            assert publisher._video is not None
            receiver = publisher._video._receiver
            handle, lost = receiver._handle_rtp_packet, set()

            async def lossy(packet: RtpPacket, arrival_time_ms: int) -> None:
                if len(lost) < 2 and packet.sequence_number % 200 == 50:
                    lost.add(packet.sequence_number)
                if packet.sequence_number not in lost:
                    await handle(packet, arrival_time_ms)

            receiver._handle_rtp_packet = lossy  # type: ignore[method-assign]
            found = await reading
    assert lost
    assert None not in found.numbers, "no damaged frame is handed on"
    steps = [(b - a) % CLIP_FRAMES for a, b in pairwise(found.numbers)]  # type: ignore[operator]
    assert 1 <= sum(step > 1 for step in steps) <= 2
    assert max(steps) <= 3 * 25, "to the next keyframe, of one a second, and on a busy machine"


async def test_a_session_is_trickled_to_and_restarts_are_refused(
    http: aiohttp.ClientSession,
) -> None:
    offer = await make_offer("video", direction="sendonly")
    fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
    async with site() as here:
        async with http.post(f"{here.url}cam", data=offer, headers=SDP) as response:
            location = urljoin(str(response.url), response.headers["Location"])
        candidate = "a=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host"
        for body, status in [
            (f"a=mid:0\r\n{candidate}\r\n", 204),
            (f"a=ice-ufrag:other\r\na=ice-pwd:x\r\n{candidate}\r\n", 422),
            ("nonsense", 400),
        ]:
            async with http.patch(location, data=body, headers=fragment) as response:
                assert response.status == status
        async with http.patch(f"{location}x", data="a=mid:0", headers=fragment) as response:
            assert response.status == 404


async def test_only_so_many_candidates_are_taken_of_a_session(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[RTCIceCandidate] = []

    async def add(_: RTCPeerConnection, candidate: RTCIceCandidate) -> None:
        taken.append(candidate)

    monkeypatch.setattr(RTCPeerConnection, "addIceCandidate", add)
    candidates = [
        f"a=candidate:1 1 udp 2130706431 127.0.0.1 {40000 + n} typ host" for n in range(20)
    ]
    fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
    offer = await make_offer("video", direction="sendonly")
    async with site() as here:
        async with http.post(f"{here.url}cam", data=offer, headers=SDP) as response:
            location = urljoin(str(response.url), response.headers["Location"])
        for _ in range(5):
            body = "\r\n".join(candidates)
            async with http.patch(location, data=body, headers=fragment) as response:
                assert response.status == 204
    assert len(taken) == 60


@counts(100, 10_000)
async def test_garbage_offers_to_publish_do_no_harm(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    async with site() as here:
        statuses = set()
        for body in garbage(await make_offer("video", "audio", direction="sendonly"), count):
            async with http.post(f"{here.url}cam", data=body, headers=SDP) as response:
                statuses.add(response.status)
                assert "Traceback" not in await response.text()
            if response.status == 201:
                location = urljoin(str(response.url), response.headers["Location"])
                async with http.delete(location) as response:
                    assert response.status == 200
        assert {201, 400} <= statuses <= {201, 400, 406, 409, 503}
        assert here.point._publisher is None
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_of_a_publisher_whose_answer_fails_nothing_is_left(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = await make_offer("video", direction="sendonly")
    made: list[Publisher] = []
    answer = Publisher.answer

    async def fails(publisher: Publisher) -> str:
        made.append(publisher)
        await answer(publisher)  # its sockets are bound now
        raise ValueError("a fault of ours")

    async with site() as here:
        monkeypatch.setattr(Publisher, "answer", fails)
        async with http.post(f"{here.url}cam", data=offer, headers=SDP) as response:
            assert response.status == 500
        assert [publisher._pc.connectionState for publisher in made] == ["closed"]
        assert made[0].broadcaster.closed
        monkeypatch.undo()
        async with http.post(f"{here.url}cam", data=offer, headers=SDP) as response:
            assert response.status == 201


async def test_a_stream_that_is_removed_while_the_offer_comes(http: aiohttp.ClientSession) -> None:
    offer = await make_offer("video", direction="sendonly")
    async with PublishPoint() as point:
        streams = {"cam": replace(Broadcast().served, publish_point=point)}

        async def slowly() -> AsyncIterator[bytes]:
            yield offer[:100].encode()
            await asyncio.sleep(0.1)
            del streams["cam"]
            yield offer[100:].encode()

        async with (
            Server(streams) as server,
            http.post(f"{server.url}whip/cam", data=slowly(), headers=SDP) as response,
        ):
            assert response.status == 404
        assert point._publisher is None


async def test_a_stream_that_is_switched_off(http: aiohttp.ClientSession) -> None:
    offer = await make_offer("video", direction="sendonly")
    broadcast = Broadcast()
    broadcast.state = StreamState.DISABLED
    async with PublishPoint() as point:
        served = replace(broadcast.served, publish_point=point)
        async with (
            Server({"cam": served}) as server,
            http.post(f"{server.url}whip/cam", data=offer, headers=SDP) as response,
        ):
            assert response.status == 409
            assert await response.text() == "the stream is switched off"
