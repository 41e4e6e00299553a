"""What Prometheus reads, by its own parser."""

import math
from dataclasses import replace
from fractions import Fraction

import aiohttp
import pytest
from broadcast import Broadcast
from peers.waiting import until
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from viewer import Viewer

from streamsr.core.events import Code
from streamsr.core.packet import Packet, Track
from streamsr.core.redact import protect
from streamsr.core.status import OutputState, OutputStatus, StreamState, StreamStatus
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.serve.app import Server
from streamsr.serve.served import Served

LIVE = StreamStatus(
    name="camera",
    state=StreamState.LIVE,
    model="bicubic",
    device="cpu",
    input="320x180",
    output="1280x720",
    frames_in=1000,
    frames_out=983,
    frames_dropped=15,
    frames_held=6,
    dropped_by={"late": 9, "full": 4},
    fps=24.9,
    latency_p50_ms=41.0,
    latency_p99_ms=250.0,
    audio_dropped=6,
    reconnects=3,
    wanted="fast",
    self_check_gain_db=-0.35,
    self_check_loses=True,
    self_checks={"made": 40, "failed": 2},
)
OUTPUTS = (
    OutputStatus("rtsp-1", "rtsp://***@server/x", OutputState.UP, 7, 2),
    OutputStatus("hls", "/tmp/x", OutputState.DOWN, 0, 5),
)
VALUES = {
    'streamsr_frames_in_total{stream="camera"}': 1000,
    'streamsr_frames_out_total{stream="camera"}': 983,
    'streamsr_frames_held_total{stream="camera"}': 6,
    'streamsr_frames_dropped_total{cause="full",stream="camera"}': 4,
    'streamsr_frames_dropped_total{cause="late",stream="camera"}': 9,
    'streamsr_frames_dropped_total{cause="other",stream="camera"}': 2,
    'streamsr_audio_dropped_total{stream="camera"}': 6,
    'streamsr_frames_per_second{stream="camera"}': 24.9,
    'streamsr_latency_seconds{quantile="0.5",stream="camera"}': 0.041,
    'streamsr_latency_seconds{quantile="0.99",stream="camera"}': 0.25,
    'streamsr_reconnects_total{stream="camera"}': 3,
    'streamsr_encoder_faults_total{stream="camera"}': 0,
    'streamsr_stream_up{stream="camera"}': 1,
    'streamsr_stream_info{device="cpu",input="320x180",model="bicubic",output="1280x720",'
    'stream="camera",wanted="fast"}': 1,
    'streamsr_self_check_gain_db{stream="camera"}': -0.35,
    'streamsr_self_check_loses{stream="camera"}': 1,
    'streamsr_self_checks_total{result="made",stream="camera"}': 40,
    'streamsr_self_checks_total{result="failed",stream="camera"}': 2,
    'streamsr_viewers{stream="camera"}': 0,
    'streamsr_viewer_dropped_packets_total{stream="camera"}': 0,
    'streamsr_events_total{code="SRC_DOWN"}': 12,
    'streamsr_output_up{output="rtsp-1",stream="camera"}': 1,
    'streamsr_output_up{output="hls",stream="camera"}': 0,
    'streamsr_output_dropped_packets_total{output="rtsp-1",stream="camera"}': 7,
    'streamsr_output_dropped_packets_total{output="hls",stream="camera"}': 0,
    'streamsr_output_restarts_total{output="rtsp-1",stream="camera"}': 2,
    'streamsr_output_restarts_total{output="hls",stream="camera"}': 5,
}


def served(status: StreamStatus, outputs: tuple[OutputStatus, ...] = ()) -> Served:
    return Served(Broadcaster(lambda tracks: None), lambda: status, outputs=lambda: outputs)


async def scrape(http: aiohttp.ClientSession, server: Server) -> dict[str, float]:
    """Every sample, by its name and sorted labels."""
    async with http.get(f"{server.url}metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await response.text()
    samples = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in samples, "Prometheus takes none of a scrape with doubles"
            samples[key] = sample.value
    return samples


async def test_the_metrics_are_the_statuses(http: aiohttp.ClientSession) -> None:
    counts = {Code.SRC_DOWN: 12}
    async with Server({"camera": served(LIVE, OUTPUTS)}, events=lambda: counts) as server:
        samples = await scrape(http, server)
    ours = {key: value for key, value in samples.items() if key.startswith("streamsr_")}
    assert ours == pytest.approx(VALUES)
    assert sum(v for k, v in ours.items() if "frames_dropped" in k) == LIVE.frames_dropped
    assert samples["process_cpu_seconds_total"] > 0
    assert samples["process_resident_memory_bytes"] > 10e6
    assert samples["process_open_fds"] > 3


async def test_a_stream_that_is_away_has_no_stale_measures(http: aiohttp.ClientSession) -> None:
    away = replace(LIVE, state=StreamState.DOWN)
    async with Server({"camera": served(away)}) as server:
        samples = await scrape(http, server)
    assert samples['streamsr_stream_up{stream="camera"}'] == 0
    assert samples['streamsr_frames_per_second{stream="camera"}'] == 0
    stale = ("streamsr_latency_seconds", "streamsr_self_check_gain_db")
    assert not [key for key in samples if key.startswith(stale)]


async def test_a_stream_without_self_checks_has_no_figures_of_them(
    http: aiohttp.ClientSession,
) -> None:
    unchecked = replace(LIVE, self_check_gain_db=None, self_check_loses=False, self_checks={})
    async with Server({"camera": served(unchecked)}) as server:
        samples = await scrape(http, server)
    assert not [key for key in samples if key.startswith("streamsr_self_check")]


async def test_odd_statuses(http: aiohttp.ClientSession) -> None:
    odd = replace(
        LIVE, fps=math.nan, latency_p50_ms=None, frames_dropped=1, dropped_by={"other": 2}
    )
    async with Server({"camera": served(odd), "new": served(LIVE)}) as server:
        samples = await scrape(http, server)
    assert math.isnan(samples['streamsr_frames_per_second{stream="camera"}'])
    assert samples['streamsr_frames_dropped_total{cause="other",stream="camera"}'] == 2
    assert samples['streamsr_latency_seconds{quantile="0.99",stream="new"}'] == 0.25
    async with Server({}) as server:
        assert not [key for key in await scrape(http, server) if key.startswith("streamsr_")]


async def test_open_metrics(http: aiohttp.ClientSession) -> None:
    headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with (
        Server({"camera": served(LIVE, OUTPUTS)}) as server,
        http.get(f"{server.url}metrics", headers=headers) as response,
    ):
        assert response.content_type == "application/openmetrics-text"
        families = list(openmetrics.text_string_to_metric_families(await response.text()))
    assert "streamsr_frames_in" in {family.name for family in families}


async def test_no_secret_gets_out(http: aiohttp.ClientSession) -> None:
    url = "rtsp://admin:p%40ss%2Fw%25rd%3A%231@camera/x"
    protect(url)
    status = replace(LIVE, device="p@ss/w%rd:#1", message=f"{url} refused", model=url)
    outputs = (OutputStatus(f"to {url}", url, OutputState.DOWN),)
    async with Server({"camera": served(status, outputs)}) as server:
        texts = [str(await scrape(http, server))]
        for path in ("api/streams", "api/streams/camera", "readyz"):
            async with http.get(server.url + path) as response:
                texts.append(await response.text())
    for text in texts:
        assert not any(part in text for part in ("p@ss", "p%40ss", "w%rd", "w%25rd"))
        assert "admin" not in text


async def test_viewers_are_counted(http: aiohttp.ClientSession) -> None:
    async with (
        Broadcast() as broadcast,
        Server({"camera": broadcast.served, "other": broadcast.served}) as server,
        Viewer(http, server.url),
        Viewer(http, server.url),
    ):
        samples = await scrape(http, server)
        assert samples['streamsr_viewers{stream="camera"}'] == 2
        assert samples['streamsr_viewers{stream="other"}'] == 0


async def test_what_viewers_are_not_sent_is_counted(http: aiohttp.ClientSession) -> None:
    broadcast, name = Broadcast(), 'streamsr_viewer_dropped_packets_total{stream="camera"}'
    async with Server({"camera": broadcast.served}) as server:
        async with Viewer(http, server.url):
            await until(lambda: len(broadcast.broadcaster) == 1)
            for number in range(3):  # a viewer hears nothing before the first frame
                broadcast.broadcaster.publish(
                    Packet(Track.OPUS, b"", number, Fraction(1, 50), keyframe=True)
                )
            assert (await scrape(http, server))[name] == 3
        await until(lambda: server.viewers == 0)
        assert (await scrape(http, server))[name] == 3
