"""When frames passed the points of their way, over HTTP: what the page's chart is made of."""

import time

import aiohttp
from broadcast import Broadcast
from viewer import Viewer

from streamsr.serve.app import Server

VIDEO_CLOCK = 90_000  # of RTP


async def test_a_viewer_can_tell_which_frame_it_shows(http: aiohttp.ClientSession) -> None:
    """By its RTP time stamp, which lies on a clock of the session's own."""
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        origins: dict[str, int | None] = {}
        while None in (origins.get("output"), origins.get("input")):
            shown = await viewer.frame()
            async with http.get(f"{viewer.location}/clock") as response:
                origins = (await response.json())["rtp_origin"]
        shown = await viewer.frame()
        receiver = viewer.transceivers[0].receiver
        began = receiver._RTCRtpReceiver__timestamp_mapper._origin  # aiortc counts from 0
        address = f"{server.url}api/v1/cameras/camera/latency?frames=100"
        async with http.get(address) as response:
            found = await response.json()
    assert abs(found["now"] - time.time()) < 5
    assert shown.pts is not None
    frames = {
        (round(frame["time_s"] * VIDEO_CLOCK) + (origins["output"] or 0)) % 2**32: frame
        for frame in found["frames"]
    }
    frame = frames[(shown.pts + began) % 2**32]
    assert frame["captured"] is None
    assert frame["arrived"] <= frame["upscaled"] <= frame["encoded"] <= frame["sent"]
    assert found["now"] - 5 < frame["sent"] <= found["now"]


async def test_an_unknown_camera_is_a_problem(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        http.get(f"{server.url}api/v1/cameras/other/latency") as response,
    ):
        assert response.status == 404
        assert (await response.json())["allowed"] == ["camera"]


async def test_the_legs_are_histograms(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        Viewer(http, server.url) as viewer,
    ):
        await viewer.frame()
        async with http.get(f"{server.url}metrics") as response:
            text = await response.text()
    assert 'streamsr_frame_seconds_bucket{le="+Inf",leg="whole",stream="camera"}' in text
    assert 'streamsr_frame_seconds_sum{leg="engine",stream="camera"}' in text
    assert 'leg="camera"' not in text
