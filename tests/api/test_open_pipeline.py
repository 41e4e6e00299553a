"""A whole pipeline in a program: every output works, code of one's own is called, events come."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from numpy.typing import NDArray
from peers.mosquitto import Mosquitto, mosquitto_path
from peers.servers import RtspServer
from peers.waiting import until

import streamsr
from streamsr import Code, Event, Packet, Track
from streamsr.core.errors import InputError, ModelError, OutputError, UserError
from streamsr.core.status import StreamState
from streamsr.sources.opening import file_frames

CHEAP: dict[str, object] = {"name": "bicubic", "device": "cpu", "self_check_s": 0}


class Levels:
    """A sensor whose frames grow brighter."""

    rate = 25

    def __init__(self, address: str, *, count: int = 10, live: bool = False) -> None:
        self.address, self.count, self.live = address, count, live

    def frames(self, stop: threading.Event) -> Iterator[NDArray[np.uint8]]:
        image = np.zeros((90, 160, 3), np.uint8)
        for number in range(self.count):
            if self.live and stop.wait(0.04):
                return
            image[:] = 16 * (number % 16)
            yield image


class Kept:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.images: list[NDArray[np.uint8]] = []
        self.times: list[float] = []
        self.closed = 0

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        self.images.append(image)
        self.times.append(time_s)

    def close(self) -> None:
        self.closed += 1


class Encoded:
    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.closed = 0

    def packet(self, packet: Packet) -> None:
        self.packets.append(packet)

    def close(self) -> None:
        self.closed += 1


def frames_of(folder: Path) -> int:
    """How many frames all recordings in a folder have."""
    return sum(1 for path in folder.glob("cam-*.mp4") for _ in file_frames(path))


def settings(url: str = "levels://here", **more: object) -> dict[str, Any]:
    return {"name": "cam", "input": {"url": url}, "model": CHEAP} | more


@pytest.fixture
def levels() -> Iterator[None]:
    with streamsr.register_source("levels", Levels):
        yield


@pytest.fixture
def live() -> Iterator[None]:
    with streamsr.register_source("live", lambda url: Levels(url, count=10**6, live=True)):
        yield


@pytest.mark.usefixtures("levels")
async def test_a_source_and_a_sink_of_ones_own() -> None:
    kept, encoded = Kept(), Encoded()
    asked = settings(output={"scale": 2})
    async with streamsr.open_pipeline(asked, sinks=[kept, encoded]) as pipeline:
        summary = await pipeline.run()
        assert (kept.closed, encoded.closed) == (1, 1)
    assert (summary.frames_in, summary.frames_out, summary.frames_dropped) == (10, 10, 0)
    assert (summary.input, summary.output) == ("160x90", "320x180")
    assert {image.shape for image in kept.images} == {(180, 320, 3)}
    assert [round(float(image.mean()) / 16) for image in kept.images] == list(range(10))
    assert kept.times == pytest.approx([number / 25 for number in range(10)])
    assert [packet.track for packet in encoded.packets] == [Track.OUTPUT] * 10
    assert encoded.packets[0].keyframe
    assert (kept.closed, encoded.closed) == (1, 1)


async def test_audio_comes_as_packets() -> None:
    encoded = Encoded()
    limits = {"frames": 30}
    async with streamsr.open_pipeline(settings("demo", limits=limits), sinks=[encoded]) as pipeline:
        await pipeline.run()
    assert {packet.track for packet in encoded.packets} == {Track.OUTPUT, Track.AAC}


@pytest.mark.usefixtures("levels")
async def test_a_sink_that_fails_ends_the_run_and_is_named() -> None:
    class Full(Kept):
        def write(self, image: NDArray[np.uint8], time_s: float) -> None:
            raise OSError("no space")

    class Exits(Kept):
        def write(self, image: NDArray[np.uint8], time_s: float) -> None:
            sys.exit(3)

    for sink, words in (
        (Full(), "sink Full: OSError: no space"),
        (Exits(), "Exits: SystemExit: 3"),
    ):
        async with streamsr.open_pipeline(settings(), sinks=[sink]) as pipeline:
            with pytest.raises(OutputError, match=words):
                await pipeline.run()
        assert sink.closed == 1


@pytest.mark.usefixtures("levels")
async def test_a_sink_that_fails_beside_another_is_left_out_and_told() -> None:
    class Broken(Kept):
        def write(self, image: NDArray[np.uint8], time_s: float) -> None:
            raise ValueError(len(self.images))

    kept, events = Kept(), list[Event]()
    async with streamsr.open_pipeline(settings(), events.append, sinks=[Broken(), kept]) as opened:
        await opened.run()
    assert len(kept.images) == 10
    assert [(e.code, e.stream) for e in events] == [(Code.OUT_FAILED, "cam")]
    assert "Broken" in events[0].message


@pytest.mark.usefixtures("levels")
async def test_what_a_sink_cannot_write_at_its_end_is_raised() -> None:
    class Unwritten(Kept):
        def close(self) -> None:
            raise OutputError("the last half is missing")

    async with streamsr.open_pipeline(settings(), sinks=[Unwritten()]) as pipeline:
        with pytest.raises(OutputError, match="sink Unwritten: the last half is missing"):
            await pipeline.run()


class Awaited(Kept):
    async def write(self, image: NDArray[np.uint8], time_s: float) -> None:  # type: ignore[override]
        """Would never be awaited."""


KEPT = Kept()  # closed once, though it is given twice


@pytest.mark.parametrize(
    ("sinks", "words"),
    [
        ([[]], r"sink list: got list, allowed .*write\(\) or packet"),
        ([Kept], r"sink type: got the class Kept, allowed is an object"),
        ([Awaited()], r"sink Awaited: got an async write\(\), allowed is a plain method"),
        ([KEPT, Kept(), KEPT], "sinks: got the same Kept twice, allowed is each object once"),
    ],
)
async def test_what_is_no_sink_is_said(sinks: Any, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        async with streamsr.open_pipeline(settings("demo"), sinks=sinks):
            pass
    assert KEPT.closed <= 1


@pytest.mark.usefixtures("levels")
@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ({"codec": "hevc"}, "encoder.codec: got 'hevc', allowed is 'h264': .*encoded sinks"),
        ({"low_delay": False}, "encoder.low_delay: got false, allowed is true"),
    ],
)
async def test_packets_of_sinks_are_what_they_are_said_to_be(
    encoder: dict[str, Any], words: str
) -> None:
    """A file beside them would be of it, and so would they."""
    asked = settings(encoder=encoder, sinks=[{"url": "encoded://x"}])
    refused = pytest.raises(UserError, match=words)
    with streamsr.register_sink("encoded", lambda address: Encoded()), refused:
        async with streamsr.open_pipeline(asked):
            pass
    async with streamsr.open_pipeline(settings(encoder=encoder), sinks=[Kept()]):
        pass


@pytest.mark.usefixtures("levels")
async def test_a_sink_is_closed_though_the_pipeline_was_never_run() -> None:
    kept = Kept()
    async with streamsr.open_pipeline(settings(), sinks=[kept]):
        pass
    assert kept.closed == 1


@pytest.mark.usefixtures("levels")
async def test_a_registered_sink_by_its_address() -> None:
    made: list[str] = []
    kept = Kept()

    def make(address: str) -> Kept:
        made.append(address)
        return kept

    with streamsr.register_sink("kept", make):
        async with streamsr.open_pipeline(settings(sinks=[{"url": "kept://door?x=1"}])) as opened:
            await opened.run()
    assert made == ["kept://door?x=1"]
    assert (len(kept.images), kept.closed) == (10, 1)


@pytest.mark.usefixtures("live")
async def test_recordings_hls_and_a_server_of_what_this_program_makes(tmp_path: Path) -> None:
    with RtspServer() as server:
        asked = settings(
            "live://here",
            output={"scale": 2},
            publish=[{"url": server.url("silent")}],
            record={"folder": str(tmp_path / "rec"), "segment_s": 1},
            hls={"folder": str(tmp_path / "hls"), "segment_s": 0.5},
        )
        kept = Kept()
        async with streamsr.open_pipeline(asked, sinks=[kept]) as pipeline:
            running = asyncio.create_task(pipeline.run())
            await until(lambda: [o.state for o in pipeline.outputs()] == ["up"] * 3)
            await until((tmp_path / "hls" / "index.m3u8").exists)
            await until(lambda: any(file.stat().st_size > 2000 for file in server.files()))
            assert {o.name for o in pipeline.outputs()} == {"rtsp-1", "hls", "record"}
            assert pipeline.status().state is StreamState.LIVE
            await asyncio.sleep(2)
            pipeline.stop()
            summary = await running
    assert summary.frames_out > 25
    assert summary.output == "320x180"
    assert kept.images[0].shape == (180, 320, 3)
    assert kept.closed == 1
    assert frames_of(tmp_path / "rec") > 25
    with av.open(str(tmp_path / "hls" / "index.m3u8")) as container:
        assert container.streams.video[0].width == 320


@pytest.mark.usefixtures("live")
async def test_a_page_of_what_this_program_makes() -> None:
    asked = settings("live://here", serve={"listen": "127.0.0.1:0"}, hls={"segment_s": 0.5})
    async with streamsr.open_pipeline(asked) as pipeline:
        assert pipeline.url is None
        running = asyncio.create_task(pipeline.run())
        await until(lambda: pipeline.url)
        await until(lambda: pipeline.status().frames_out)
        async with aiohttp.ClientSession() as session:
            url = str(pipeline.url).rstrip("/")
            async with session.get(f"{url}/api/v1/cameras") as answer:
                (camera,) = (await answer.json())["cameras"]
                assert camera["name"] == "cam"
            async with session.get(f"{url}/metrics") as answer:
                assert 'stream="cam"' in await answer.text()
        pipeline.stop()
        await running


@pytest.mark.usefixtures("live")
@pytest.mark.skipif(mosquitto_path() is None, reason="apt-get install mosquitto")
async def test_a_broker_steers_it() -> None:
    with Mosquitto() as broker:
        asked = settings("live://here", mqtt={"host": "127.0.0.1", "port": broker.port})
        async with streamsr.open_pipeline(asked) as pipeline:
            running = asyncio.create_task(pipeline.run())
            async with asyncio.timeout(20):
                async for event in pipeline.events():
                    if event.code is Code.MQTT_UP:
                        break
            pipeline.stop()
            await running


async def test_a_file_is_recorded_whole(tmp_path: Path, clip: Callable[..., Path]) -> None:
    asked = settings(str(clip(seconds=2.0)), record={"folder": str(tmp_path)})
    async with streamsr.open_pipeline(asked) as pipeline:
        summary = await pipeline.run()
    assert summary.frames_out == 50
    assert frames_of(tmp_path) == 50


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("node", [False, True])
async def test_cancelling_it_ends_it_and_leaving_the_context_does(
    tmp_path: Path, *, node: bool
) -> None:
    record = {"record": {"folder": str(tmp_path)}} if node else {}
    before = threading.active_count()
    for cancels in (True, False):
        kept = Kept()
        async with streamsr.open_pipeline(settings("live://x", **record), sinks=[kept]) as opened:
            running = asyncio.create_task(opened.run())
            await until(lambda: kept.images)  # noqa: B023
            if cancels:
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
        assert kept.closed == 1
        await asyncio.wait({running}, timeout=5)
        assert running.done()
    await until(lambda: threading.active_count() <= before + 5)  # of the loop's executor


@pytest.mark.usefixtures("levels")
async def test_a_pipeline_runs_once() -> None:
    async with streamsr.open_pipeline(settings(), sinks=[Kept()]) as pipeline:
        await pipeline.run()
        with pytest.raises(RuntimeError, match="once"):
            await pipeline.run()


async def test_events_are_typed_and_what_repeats_is_told_once() -> None:
    tries: list[str] = []

    class Unplugged(Levels):
        """A sensor that cannot be read until the third time."""

        def frames(self, stop: threading.Event) -> Iterator[NDArray[np.uint8]]:
            tries.append(self.address)
            if len(tries) < 3:
                raise ConnectionError("no answer")
            yield from super().frames(stop)

    told: list[Event] = []
    kept = Kept()
    with streamsr.register_source("late", lambda url: Unplugged(url, count=10**6, live=True)):
        asked = settings("late://here")
        async with streamsr.open_pipeline(asked, told.append, sinks=[kept]) as pipeline:
            running = asyncio.create_task(pipeline.run())
            await until(lambda: len(kept.images) >= 3)
            pipeline.stop()
            await running
            read = [event async for event in pipeline.events()]
    assert read == told
    assert [event.code for event in told] == [Code.SRC_DOWN, Code.SRC_UP]
    assert {(type(event), event.stream) for event in told} == {(Event, "cam")}
    assert "ConnectionError: no answer" in told[0].message
    assert "tried again every 5 s" in told[0].doing
    assert len(tries) == 3


@pytest.mark.usefixtures("levels")
async def test_a_callback_that_fails_does_not_end_the_pipeline(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("streamsr"), "propagate", True)

    def fails(event: Event) -> None:
        raise ZeroDivisionError

    class Broken(Kept):
        def write(self, image: NDArray[np.uint8], time_s: float) -> None:
            raise OSError

    async with streamsr.open_pipeline(settings(), fails, sinks=[Broken(), Kept()]) as pipeline:
        assert (await pipeline.run()).frames_out == 10
    assert caplog.text.count("Traceback") == 1


@pytest.mark.parametrize("node", [False, True])
@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (settings("gone.mp4"), InputError, "there is no such file"),
        (settings("demo", model={"name": "fasst"}), ModelError, "'fasst'"),
        (settings("mysensr://x"), InputError, r"'mysensr'"),
        (settings("demo", sinks=[{"url": "lost://x"}]), OutputError, "got 'lost', allowed are"),
    ],
)
async def test_what_cannot_be_opened_is_raised_typed(
    tmp_path: Path, asked: dict[str, Any], error: type[Exception], words: str, *, node: bool
) -> None:
    more = {"record": {"folder": str(tmp_path)}} if node else {}
    with pytest.raises(error, match=words):
        async with streamsr.open_pipeline(asked | more):
            pass


@pytest.mark.parametrize("node", [False, True])
async def test_what_fails_at_the_first_frame_is_raised_typed(tmp_path: Path, *, node: bool) -> None:
    class OddError(InputError):
        """A class of the program's own."""

    class Empty(Levels):
        def frames(self, stop: threading.Event) -> Iterator[NDArray[np.uint8]]:
            raise OddError("nothing to see")
            yield

    more = {"record": {"folder": str(tmp_path)}} if node else {}
    with streamsr.register_source("empty", Empty):
        async with streamsr.open_pipeline(settings("empty://x", **more)) as pipeline:
            with pytest.raises(InputError, match="nothing to see"):
                await pipeline.run()


@pytest.mark.parametrize("wrong", [{"no_such": 1}, {"enabled": False}, {}])
async def test_a_sink_is_closed_though_the_settings_are_wrong(wrong: dict[str, Any]) -> None:
    kept = Kept()
    sinks = [kept] if wrong else [[], kept]
    with pytest.raises(streamsr.UserError):
        async with streamsr.open_pipeline(
            settings("demo") | wrong,
            sinks=sinks,  # type: ignore[arg-type]
        ):
            pass
    assert kept.closed == 1
