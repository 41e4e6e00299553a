"""What browsers say of the frames that they show: a leg of the metrics, whatever they send."""

import asyncio
import json

import aiohttp
import pytest
from broadcast import Broadcast
from letting_in import letting_in
from pydantic import ValidationError
from viewer import Viewer

from streamsr.ipc.frame_traces import FrameTraces, Leg
from streamsr.serve.app import Server
from streamsr.serve.shown import EVERY_S, MOST, ShownFrames

TOKEN = "a-token-of-a-viewer-0123"
COUNT = 'streamsr_frame_seconds_count{leg="shown",stream="camera"}'
BAD = [
    "",
    "[]",
    "{}",
    '{"shown_s": []}',
    '{"shown_s": [-0.1]}',
    '{"shown_s": [61]}',
    '{"shown_s": [NaN]}',
    '{"shown_s": [1e999]}',
    '{"shown_s": [true]}',
    '{"shown_s": ["0.1"]}',
    '{"shown_s": [0.1], "leg": "engine"}',
    json.dumps({"shown_s": [0.1] * (MOST + 1)}),
    "[" * 5000,
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_report_counts_nothing(text: str) -> None:
    traces = FrameTraces()
    with pytest.raises(ValidationError):
        ShownFrames(traces).take(text, 0.0)
    assert not traces.legs


def test_reports_that_come_too_soon_count_nothing() -> None:
    traces = FrameTraces()
    shown = ShownFrames(traces)
    taken = [shown.take('{"shown_s": [0.1, 0.2]}', EVERY_S * step / 4) for step in range(9)]
    assert taken == [step % 4 == 0 for step in range(9)]
    assert sum(traces.legs[Leg.SHOWN].counts) == 6


async def test_a_viewer_tells_it_of_its_session(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}, access=letting_in(TOKEN, role="view")) as server,
    ):
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        async with Viewer(http, server.url) as viewer:
            await viewer.frame()
            address = f"{viewer.location}/shown"
            for body, status in [
                ({"shown_s": [0.02, 0.3]}, 204),
                ({"shown_s": [0.02]}, 429),
            ]:
                async with http.post(address, json=body) as response:
                    assert response.status == status, await response.text()
            await asyncio.sleep(EVERY_S)
            async with http.post(address, json={"shown_s": [-1]}) as response:
                assert response.status == 422
                assert "numbers from 0 to 60" in await response.text()
            async with http.post(f"{address[:-12]}/shown", json={"shown_s": [1]}) as response:
                assert response.status == 404
        async with http.get(f"{server.url}metrics") as response:
            assert f"{COUNT} 2.0" in await response.text()


async def test_over_a_websocket_too(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served}) as server,
        http.ws_connect(f"{server.url}live/camera") as socket,
    ):
        for text in BAD[:4]:
            await socket.send_str(text)
        await asyncio.sleep(EVERY_S)
        await socket.send_str('{"shown_s": [0.02, 0.3, 0.4]}')
        for _ in range(20):
            await socket.receive(5)
        assert sum(broadcast.broadcaster.traces.legs[Leg.SHOWN].counts) == 3
