"""Outputs in processes of their own, against real servers: healthy ones, and all that fail."""

import asyncio
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import av
import pytest
from peers import (
    FPS,
    NGINX_INSTALL,
    ROUND,
    MuteServer,
    RefusingServer,
    RtmpServer,
    RtspServer,
    Seen,
    Studio,
    TcpProxy,
    nginx_is_installed,
    pictures,
    seen,
)

from streamsr.errors import OutputError
from streamsr.events import Code, Event, EventLog
from streamsr.publishing import Publisher, check_output
from streamsr.settings import HlsSettings, PublishSettings, RecordSettings

BACK_S = 12.0  # for an output after its peer is well again
LAG_S = 0.25  # that the event loop may be late
CANARY = "p@ss/w%rd:#1"

Settings = PublishSettings | HlsSettings | RecordSettings


@pytest.fixture
def rtmp_server() -> Iterator[RtmpServer]:
    if not nginx_is_installed():
        reason = f"nginx with RTMP is not installed: {NGINX_INSTALL}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with RtmpServer() as server:
        yield server


@pytest.fixture
def rtsp_server(require_gst: None) -> Iterator[RtspServer]:
    with RtspServer() as server:
        yield server


@dataclass
class Outputs:
    """Running publishers of one studio, and what they said."""

    studio: Studio
    events: list[Event] = field(default_factory=list)
    publishers: list[Publisher] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, settings: Settings) -> Publisher:
        studio = self.studio
        publisher = Publisher("cam", settings, studio.hub, studio.status, self.events.append)
        self.publishers.append(publisher)
        self.tasks.append(asyncio.create_task(publisher.run()))
        return publisher

    async def stop(self) -> None:
        await asyncio.gather(*(publisher.stop() for publisher in self.publishers))
        await asyncio.gather(*self.tasks)
        assert [p.state for p in self.publishers] == ["off"] * len(self.publishers)
        assert all(p.pid is None for p in self.publishers)

    def codes(self) -> list[Code]:
        return [event.code for event in self.events]


@asynccontextmanager
async def studio_outputs(**studio: object) -> AsyncIterator[Outputs]:
    async with Studio(**studio) as running:
        outputs = Outputs(running)
        try:
            yield outputs
        finally:
            await outputs.stop()


async def until(condition: Callable[[], bool], within_s: float = 8.0) -> None:
    """Wait for what nothing tells us about: it happens in another process."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def sent(studio: Studio, count: int) -> None:
    """Wait until so many more pictures have gone out."""
    goal = studio.sent + count
    await until(lambda: studio.sent >= goal, count / FPS + 5)


def record(folder: Path, **settings: object) -> RecordSettings:
    return RecordSettings(folder=folder, **{"min_free_gb": 0, **settings})


def recorded(folder: Path) -> list[Seen]:
    return [seen(path) for path in sorted(folder.iterdir())]


def joined(files: list[Seen]) -> Seen:
    return Seen(numbers=[number for file in files for number in file.numbers])


async def test_an_rtsp_server_gets_pictures_and_sound(rtsp_server: RtspServer) -> None:
    async with studio_outputs() as outputs:
        for transport in ("tcp", "udp"):
            outputs.start(PublishSettings(url=rtsp_server.url(), transport=transport))
        await until(lambda: [p.state for p in outputs.publishers] == ["up", "up"])
        await sent(outputs.studio, 5 * FPS)
    assert outputs.codes() == [Code.OUT_UP] * 2
    assert sum(p.dropped + p.restarts for p in outputs.publishers) == 0
    await until(lambda: len(rtsp_server.files()) == 2)
    for file in rtsp_server.files():
        found = await asyncio.to_thread(seen, file)
        assert found.unbroken
        assert len(found.numbers) > 4 * FPS
        length = found.times[-1] - found.times[2 * FPS]  # it takes a moment to find its pace
        assert (len(found.numbers) - 2 * FPS - 1) / length == pytest.approx(FPS, rel=0.03)
        assert found.offset_s < 0.1


async def test_a_silent_stream_is_announced_without_sound(rtsp_server: RtspServer) -> None:
    async with studio_outputs(sound=False) as outputs:
        publisher = outputs.start(PublishSettings(url=rtsp_server.url("silent")))
        await until(lambda: publisher.state == "up")
        await sent(outputs.studio, FPS)
    found = await asyncio.to_thread(seen, rtsp_server.files()[0])
    assert found.unbroken
    assert found.samples == 0


async def test_an_rtmp_server_gets_pictures_and_sound(rtmp_server: RtmpServer) -> None:
    async with studio_outputs() as outputs:
        publisher = outputs.start(PublishSettings(url=rtmp_server.url()))
        await until(lambda: publisher.state == "up")
        found = await asyncio.to_thread(seen, rtmp_server.url(), 4 * FPS)
        assert publisher.target == f"rtmp://127.0.0.1:{rtmp_server.port}/live/***"
        assert (publisher.name, publisher.dropped, publisher.restarts) == ("rtmp", 0, 0)
    assert found.unbroken
    assert found.times[-1] - found.times[0] == pytest.approx(4 - 1 / FPS, abs=0.05)
    assert found.offset_s < 0.1


async def test_a_recording_is_split_and_loses_nothing(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        publisher = outputs.start(record(tmp_path, segment_s=1))
        await until(lambda: publisher.state == "up")
        await sent(outputs.studio, 5 * FPS)
        await publisher.stop()
        last = outputs.studio.sent
    files = recorded(tmp_path)
    assert len(files) >= 5
    whole = joined(files)
    assert whole.unbroken
    assert whole.numbers[0] == 0
    assert len(whole.numbers) >= last - 1, "what was queued is written before the end"
    for file in files[:-1]:
        assert len(file.numbers) == FPS
        assert file.offset_s < 0.1
    # every piece of sound is in one of them, too
    assert sum(f.samples for f in files) / 48_000 == pytest.approx(
        len(whole.numbers) / FPS, abs=0.1
    )


async def test_a_change_of_picture_or_sound_begins_a_new_file(tmp_path: Path) -> None:
    pictures(192, 108)  # encoded before, not on the way
    async with studio_outputs(sound=False) as outputs:
        publisher = outputs.start(record(tmp_path))
        await until(lambda: publisher.state == "up")
        outputs.studio.sound = True
        await sent(outputs.studio, FPS + 5)
        outputs.studio.size = (192, 108)
        await sent(outputs.studio, 2 * FPS)
    files = recorded(tmp_path)
    assert joined(files).unbroken
    assert [bool(f.samples) for f in files] == [False, True, True]
    assert [f.sizes for f in files] == [{(320, 180)}, {(320, 180)}, {(192, 108)}]
    assert publisher.restarts == 0


async def test_a_killed_recorder_leaves_files_that_play(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        publisher = outputs.start(record(tmp_path))
        for life in range(4):
            await until(lambda n=life: len(os.listdir(tmp_path)) == n + 1)
            await sent(outputs.studio, FPS + random.randrange(FPS))
            assert publisher.pid is not None
            os.kill(publisher.pid, signal.SIGKILL)
        await until(lambda: len(os.listdir(tmp_path)) == 5)
        await until(lambda: publisher.state == "up")
    files = recorded(tmp_path)
    assert all(file.unbroken for file in files)
    for before, after in pairwise(files):
        # up to a GOP to the kill, and up to another until the next file can begin
        assert (after.numbers[0] - before.numbers[-1]) % ROUND <= 2 * FPS + 2
    assert publisher.restarts == 4
    assert outputs.codes().count(Code.OUT_DOWN) == 4


@dataclass
class Fault:
    """A peer that is ill at first, and can be made well; ``newest`` is the last it was given."""

    publisher: Publisher
    heal: Callable[[], None]
    newest: Callable[[], int]


def newest_of(file: Path) -> int:
    """The number of the last picture in a file that grows; -1 if there is none."""
    with suppress(av.FFmpegError, OSError):
        numbers = [n for n in seen(file).numbers if n is not None]
        return numbers[-1] if numbers else -1
    return -1


def newest_at(url: str) -> int:
    """The number of a picture that is played now at an address; -1 if there is none."""
    with suppress(av.FFmpegError, OSError):
        return seen(url, 1).numbers[0] or 0
    return -1


async def found_again(fault: Fault, number: int) -> float:
    """The seconds until the peer has a picture that is newer than ``number``."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < BACK_S:
        newest = await asyncio.to_thread(fault.newest)
        if newest >= 0 and (newest - number) % ROUND < ROUND // 2:
            break
    return time.monotonic() - begun_s


async def test_peers_that_fail_disturb_nobody_and_are_found_again(
    rtmp_server: RtmpServer, require_gst: None, tmp_path: Path
) -> None:
    """Refused, mute, reset, stalled, swallowed and frozen, all at once, beside a recording."""
    with (
        RtspServer() as frozen,
        TcpProxy(rtmp_server.port) as hole,
        TcpProxy(rtmp_server.port) as stalled,
        TcpProxy(rtmp_server.port) as resetting,
        MuteServer() as mute,
    ):
        port = rtmp_server.port
        later = TcpProxy(port, mute.port)
        refused = TcpProxy(port)
        with refused:
            """It has a port from now on, and nobody there."""

        def unmute() -> None:
            mute.stop()
            later.start()

        def publisher(url: str) -> Publisher:
            return outputs.start(PublishSettings(url=url))

        try:
            async with studio_outputs() as outputs:
                recording = outputs.start(record(tmp_path))
                rtmp = {
                    "stalled": (stalled.port, stalled.forward),
                    "hole": (hole.port, hole.forward),
                    "resetting": (resetting.port, lambda: None),
                    "mute": (mute.port, unmute),
                    "refused": (refused.port, refused.start),
                }
                faults = {
                    key: Fault(
                        publisher(rtmp_server.url(key, port=at)),
                        heal,
                        lambda key=key: newest_at(rtmp_server.url(key)),
                    )
                    for key, (at, heal) in rtmp.items()
                }
                faults["frozen"] = Fault(
                    publisher(frozen.url()),
                    frozen.thaw,
                    lambda: newest_of(frozen.files()[-1]),
                )
                well = [f.publisher for key, f in faults.items() if key not in ("mute", "refused")]
                await until(lambda: all(p.state == "up" for p in [recording, *well]))
                stalled.stall()
                hole.black_hole()
                frozen.freeze()
                until_s = time.monotonic() + 7
                while time.monotonic() < until_s:
                    resetting.reset()
                    await asyncio.sleep(0.2)
                ill = {key: f.publisher.restarts for key, f in faults.items()}
                assert all(ill[key] for key in ("resetting", "mute", "refused")), ill

                goal = outputs.studio.sent
                for fault in faults.values():
                    fault.heal()
                took = await asyncio.gather(*(found_again(f, goal) for f in faults.values()))
                took_s = dict(zip(faults, took, strict=True))
                assert max(took) < BACK_S, (took_s, outputs.events)
                assert outputs.studio.lag_s < LAG_S
                assert (recording.restarts, recording.dropped) == (0, 0)
                begun_s = time.monotonic()
                await outputs.stop()
                assert time.monotonic() - begun_s < 3
        finally:
            later.stop()
            refused.stop()
    (file,) = recorded(tmp_path)
    assert file.unbroken
    assert file.numbers[0] == 0


async def test_a_frozen_server_does_not_keep_anybody_from_stopping(
    rtsp_server: RtspServer,
) -> None:
    async with studio_outputs() as outputs:
        publisher = outputs.start(PublishSettings(url=rtsp_server.url()))
        await until(lambda: publisher.state == "up")
        rtsp_server.freeze()
        other = outputs.start(PublishSettings(url=rtsp_server.url()))  # cannot even open
        await until(lambda: other.pid is not None)
        begun_s = time.monotonic()
        await outputs.stop()
        assert time.monotonic() - begun_s < 3


async def test_a_server_that_comes_back_is_soon_published_to(rtmp_server: RtmpServer) -> None:
    took = []
    async with studio_outputs() as outputs:
        publisher = outputs.start(PublishSettings(url=rtmp_server.url()))
        for _ in range(3):
            await until(lambda: publisher.state == "up", BACK_S)
            rtmp_server.kill()
            await until(lambda: publisher.state == "down")
            await sent(outputs.studio, random.randrange(FPS))
            rtmp_server.start()
            begun_s = time.monotonic()
            await until(lambda: publisher.state == "up", BACK_S)
            took.append(time.monotonic() - begun_s)
    assert max(took) < 5
    assert outputs.codes() == [Code.OUT_UP, *[Code.OUT_DOWN, Code.OUT_UP] * 3]


async def test_no_password_gets_out(
    require_gst: None, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = quote(CANARY, safe="")
    with (
        RtspServer(user="me", password=CANARY) as server,
        RefusingServer(401) as refusing,
        MuteServer() as mute,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        port = closed.getsockname()[1]
        closed.close()
        async with studio_outputs() as outputs:
            good = outputs.start(PublishSettings(url=server.url()))
            urls = [
                f"rtsp://me:{secret}@127.0.0.1:{refusing.port}/live",
                f"rtsp://me:{secret}@127.0.0.1:{port}/live",
                f"rtsp://me:{secret}@127.0.0.1:{mute.port}/live",
                f"rtmp://me:{secret}@127.0.0.1:{port}/live/{secret}",
                f"rtsp://me:{secret}x@127.0.0.1:{server.port}/live",
            ]
            bad = [outputs.start(PublishSettings(url=url)) for url in urls]
            await until(lambda: good.state == "up")
            await until(lambda: all(p.restarts for p in bad), 12)
            lines = [Path(f"/proc/{good.pid}/cmdline").read_text()]
            words = [p.target for p in outputs.publishers]
        assert server.files(), "the right password is let in"
    log = EventLog(time.monotonic)
    for event in outputs.events:
        log(event)
    captured = capfd.readouterr()
    words += [event.message for event in outputs.events]
    words += [*lines, caplog.text, captured.out, captured.err]
    assert "401 Unauthorized" in "".join(words)
    for word in words:
        assert CANARY not in word
        assert secret not in word


NODE = """
import asyncio, sys
sys.path[:0] = {paths!r}
from test_publishing import *
async def main():
    async with studio_outputs() as outputs:
        recording = outputs.start(record(Path({folder!r})))
        up, stuck = [outputs.start(PublishSettings(url=url)) for url in {urls!r}]
        await until(lambda: recording.state == up.state == "up" and stuck.pid)
        await sent(outputs.studio, 10)
        print(*(p.pid for p in outputs.publishers), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_killed_node_leaves_no_process_and_a_finished_file(
    rtmp_server: RtmpServer, tmp_path: Path
) -> None:
    here = Path(__file__).parent
    with MuteServer() as mute:
        urls = [rtmp_server.url(), f"rtmp://127.0.0.1:{mute.port}/live/cam"]
        paths = [str(here), str(here.parent)]
        script = NODE.format(paths=paths, folder=str(tmp_path), urls=urls)
        node = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        with node:
            assert node.stdout is not None
            try:
                pids = [int(word) for word in node.stdout.readline().split()]
            finally:
                node.kill()
        assert len(pids) == 3
        await until(lambda: not any(runs(pid) for pid in pids), 2)
    (path,) = tmp_path.iterdir()
    assert b"moof" not in top_level_boxes(path), "it is a plain file, closed as it should be"
    assert seen(path).unbroken


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def top_level_boxes(path: Path) -> list[bytes]:
    data, place, boxes = path.read_bytes(), 0, []
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        boxes.append(data[place + 4 : place + 8])
        place += size if size >= 8 else len(data)
    return boxes


async def test_a_stream_that_ends_ends_its_outputs(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        outputs.start(record(tmp_path))
        await sent(outputs.studio, FPS)
        outputs.studio.hub.close()
        await asyncio.wait_for(outputs.tasks[0], 5)
    (file,) = recorded(tmp_path)
    assert file.unbroken


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    for settings in (record(blocked / "rec"), HlsSettings(folder=blocked)):
        with pytest.raises(OutputError, match=r"file.*: cannot be written: "):
            check_output(settings)
    check_output(record(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []
    check_output(HlsSettings())
    check_output(PublishSettings(url="rtmp://127.0.0.1:1/live/cam"))


def test_the_process_starts_without_anything_heavy() -> None:
    script = "import sys, streamsr.publisher; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "av" in modules
    assert not modules & {"torch", "numpy", "pydantic", "asyncio", "aiohttp"}
