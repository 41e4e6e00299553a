"""Watching with aiortc: a real WebRTC peer over real sockets."""

import asyncio
import logging
import time

import aiohttp
import pytest
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.opus import OpusEncoder
from broadcast import INPUT_SIZE, OUTPUT_SIZE, Broadcast
from peers import number_in
from peers.waiting import until
from soak import Usage, counts, figure
from viewer import SDP, Viewer, make_offer

from streamsr.core.deadline import STOP_S, Deadline
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server
from streamsr.serve.webrtc.viewer_session import CLOSE_SHARE, WATCH_S

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


async def test_before_and_after_and_audio(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        after, before = [await viewer.frame(0)], [await viewer.frame(1)]
        audio = await viewer.frame(2)
        assert (after[0].width, after[0].height) == OUTPUT_SIZE
        assert (before[0].width, before[0].height) == INPUT_SIZE
        assert audio.sample_rate == 48000
        after += [await viewer.frame(0) for _ in range(20)]
        before += [await viewer.frame(1) for _ in range(20)]
        for frames in (after, before):
            numbers = [number_in(frame) for frame in frames]
            assert numbers == list(range(numbers[0], numbers[0] + 21)), "a frame was lost"


@pytest.mark.parametrize("kinds", [("video",), ("video", "audio"), ("audio", "video")])
async def test_an_ordinary_client_gets_the_output(
    http: aiohttp.ClientSession, kinds: tuple[str, ...]
) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url, kinds) as viewer,
    ):
        frame = await viewer.frame(kinds.index("video"))
        assert (frame.width, frame.height) == OUTPUT_SIZE


async def test_a_third_video_line_gets_nothing_and_breaks_nothing(
    http: aiohttp.ClientSession,
) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url, ("video", "video", "video", "audio", "audio")) as viewer,
    ):
        assert viewer.answer.count("a=sendonly") == 3
        assert viewer.answer.count("a=inactive") == 2
        assert (await viewer.frame(1)).width == INPUT_SIZE[0]


async def test_a_stream_without_audio(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast(audio=False) as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        for _ in range(5):
            await viewer.frame()


async def test_viewers_share_one_encode(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(*_: object) -> None:
        pytest.fail("aiortc encoded a frame by itself")

    monkeypatch.setattr(H264Encoder, "encode", encode)
    monkeypatch.setattr(OpusEncoder, "encode", encode)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as first,
        Viewer(http, server.url) as second,
    ):
        encoded, numbers = broadcast.encoded, []
        for viewer in (first, second):
            numbers.append(number_in(await viewer.frame()))
            await viewer.frame(1)
            await viewer.frame(2)
        assert server.viewers == len(broadcast.broadcaster) == 2
        await until(lambda: broadcast.encoded > encoded + 5)
        assert broadcast.keyframes <= 3


async def test_a_late_joiner_does_not_wait_for_a_frame(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,  # its keyframes are 10 s apart, unless asked for
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as early,
    ):
        await early.frame()
        await until(lambda: broadcast.encoded > 20)
        for _ in range(3):
            begun_s = time.monotonic()
            async with Viewer(http, server.url) as late:
                await late.frame()
                await late.frame(1)
            assert time.monotonic() - begun_s < 4  # it was asked for


async def test_a_lost_frame_asks_for_a_keyframe(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        await viewer.frame()
        keyframes, requests = broadcast.keyframes, broadcast.requests
        begun_s = time.monotonic()
        for _ in range(50):
            await viewer.lose_frames()
        await until(lambda: broadcast.keyframes > keyframes)
        await viewer.frame()
        await until(lambda: broadcast.requests > requests)
        assert broadcast.requests - requests <= 1 + 2 * (time.monotonic() - begun_s)


async def test_leaving_frees(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served, "other": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        await viewer.frame()
        for wrong in (viewer.location[:-1], viewer.location.replace("camera", "other")):
            async with http.delete(wrong) as response:
                assert response.status == 404
        assert server.viewers == 1
        async with http.delete(viewer.location) as response:
            assert response.status == 200
        assert server.viewers == len(broadcast.broadcaster) == 0
        async with http.delete(viewer.location) as response:
            assert response.status == 404
        await viewer.ended()


async def test_closing_the_connection_frees(http: aiohttp.ClientSession) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        async with Viewer(http, server.url) as viewer:
            await viewer.frame()
        await until(lambda: server.viewers == 0, 2)


async def test_a_viewer_that_vanishes_is_given_up(http: aiohttp.ClientSession) -> None:
    limits = ServerLimits(silent_s=3)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, limits=limits) as server,
        Viewer(http, server.url) as vanishing,
        Viewer(http, server.url) as staying,
    ):
        await vanishing.frame()
        vanishing.vanish()
        await until(lambda: server.viewers == 1, 6)
        assert number_in(await staying.frame()) is not None
        assert len(broadcast.broadcaster) == 1


async def test_an_offer_without_a_connection_is_given_up(http: aiohttp.ClientSession) -> None:
    limits = ServerLimits(connect_s=0.5)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, limits=limits) as server,
    ):
        offer = await make_offer("video")
        async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP) as response:
            assert response.status == 201
        assert server.viewers == 1
        await until(lambda: server.viewers == 0, 2)


def test_a_viewer_is_freed_in_time_by_default() -> None:
    limits, close_s = ServerLimits(), STOP_S * CLOSE_SHARE
    assert limits.silent_s + WATCH_S + close_s <= 20
    assert limits.connect_s + close_s <= 15


async def test_too_many_viewers(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, limits=ServerLimits(viewers=2)) as server,
        Viewer(http, server.url) as first,
        Viewer(http, server.url),
    ):
        offer = await make_offer("video")
        async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
        async with http.delete(first.location):
            pass
        async with Viewer(http, server.url) as third:
            await third.frame()


async def test_an_offer_without_our_codec(http: aiohttp.ClientSession) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        offer = (await make_offer("video")).replace("H264/90000", "H265/90000")
        async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP) as response:
            assert response.status == 406
        assert server.viewers == 0


async def test_trickled_candidates(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        good = "a=mid:0\r\na=candidate:1 1 udp 2130706431 192.0.2.9 40000 typ host\r\n"
        for fragment, status in [
            (good, 204),
            ("a=mid:0\r\na=candidate:1 1 udp 1 x.local 40000 typ host\r\n", 204),
            ("a=end-of-candidates\r\n", 204),
            (f"a=ice-ufrag:another\r\na=ice-pwd:restart\r\n{good}", 422),
            ("hello", 400),
        ]:
            async with http.patch(viewer.location, data=fragment, headers=FRAGMENT) as response:
                assert response.status == status, fragment
        async with http.patch(viewer.location, data=good, headers=SDP) as response:
            assert response.status == 415
        await viewer.frame()


async def test_the_end_of_a_stream_ends_its_viewers(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        await viewer.frame()
        broadcast.broadcaster.close()
        async with asyncio.timeout(2):
            await viewer.ended()
        await until(lambda: server.viewers == 0)
        offer = await make_offer("video")
        async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP) as response:
            assert response.status == 404


async def test_stopping_ends_all_sessions_in_time(http: aiohttp.ClientSession) -> None:
    async with Broadcast() as broadcast:
        server = Server({"camera": broadcast.served})
        await server.__aenter__()
        async with Viewer(http, server.url) as one, Viewer(http, server.url) as two:
            await one.frame()
            two.vanish()
            offer = await make_offer("video")
            async with http.post(f"{server.url}whep/camera", data=offer, headers=SDP):
                pass
            assert server.viewers == 3
            begun_s = time.monotonic()
            await server.close(Deadline.after(2))
            assert time.monotonic() - begun_s < 3
            await server.close(Deadline.after(2))  # has nothing left to do
            assert server.viewers == len(broadcast.broadcaster) == 0
            async with asyncio.timeout(2):
                await one.ended()


@counts(3, 1000, hours=3)
async def test_nothing_is_left_behind(http: aiohttp.ClientSession, count: int) -> None:
    async with Broadcast() as broadcast, Server({"camera": broadcast.served}) as server:
        tasks = len(asyncio.all_tasks())
        for joined in range(count):
            async with Viewer(http, server.url) as viewer:
                await viewer.frame()
            # One more: the keep-alive connection of the HTTP client.
            await until(lambda: len(asyncio.all_tasks()) <= tasks + 1, 2)
            if joined == count // 10:  # by then all that is kept for good is there
                before = Usage.of()
        assert server.viewers == len(broadcast.broadcaster) == 0
        if count > 100:
            before.assert_flat(Usage.of())
        figure("joins", f"{count}: {before}, then {Usage.of()}")


async def test_the_secret_is_never_logged(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        await viewer.frame()
        secret = viewer.location.rpartition("/")[2]
        async with http.patch(viewer.location, data="a=mid:0", headers=FRAGMENT):
            pass
        async with http.delete(viewer.location):
            pass
    assert "a viewer came" in caplog.text
    assert len(secret) >= 22
    assert secret not in caplog.text
