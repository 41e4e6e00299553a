"""Outputs whose servers refuse, reset, say nothing, freeze and come back; and killed nodes."""

import asyncio
import logging
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import av
import pytest
from peers import FPS, ROUND, MuteServer, RefusingServer, RtmpServer, RtspServer, TcpProxy, seen
from peers.outputs import record, recorded, sent, studio_outputs
from peers.waiting import until

from streamsr.core.events import Code, EventLog
from streamsr.core.settings import PublishSettings
from streamsr.outputs.output import Output

BACK_S = 12.0  # for an output after its peer is well again
LAG_S = 1.0  # a loop that waits for one of the peers is late by seconds
CANARY = "p@ss/w%rd:#1"


@dataclass
class Fault:
    """A peer that is ill at first, and can be made well; ``newest`` is the last it was given."""

    output: Output
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

        def unplug() -> None:
            hole.forward()
            hole.reset()  # bytes are missing for good: nobody could go on with that connection

        def output(url: str) -> Output:
            return outputs.start(PublishSettings(url=url))

        try:
            async with studio_outputs() as outputs:
                recording = outputs.start(record(tmp_path))
                rtmp = {
                    "stalled": (stalled.port, stalled.forward),
                    "hole": (hole.port, unplug),
                    "resetting": (resetting.port, lambda: None),
                    "mute": (mute.port, unmute),
                    "refused": (refused.port, refused.start),
                }
                faults = {
                    key: Fault(
                        output(rtmp_server.url(key, port=at)),
                        heal,
                        lambda key=key: newest_at(rtmp_server.url(key)),
                    )
                    for key, (at, heal) in rtmp.items()
                }
                faults["frozen"] = Fault(
                    output(frozen.url()),
                    frozen.thaw,
                    lambda: newest_of(frozen.files()[-1]),
                )
                well = [f.output for key, f in faults.items() if key not in ("mute", "refused")]
                await until(lambda: all(p.state == "up" for p in [recording, *well]))
                stalled.stall()
                hole.black_hole()
                frozen.freeze()
                until_s = time.monotonic() + 7
                while time.monotonic() < until_s:
                    resetting.reset()
                    await asyncio.sleep(0.2)
                ill = {key: f.output.restarts for key, f in faults.items()}
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
                assert time.monotonic() - begun_s < 5
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
        output = outputs.start(PublishSettings(url=rtsp_server.url()))
        await until(lambda: output.state == "up")
        rtsp_server.freeze()
        other = outputs.start(PublishSettings(url=rtsp_server.url()))  # cannot even open
        await until(lambda: other.pid is not None)
        begun_s = time.monotonic()
        await outputs.stop()
        assert time.monotonic() - begun_s < 5


async def test_a_server_that_comes_back_is_soon_published_to(rtmp_server: RtmpServer) -> None:
    took = []
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtmp_server.url()))
        for _ in range(3):
            await until(lambda: output.state == "up", BACK_S)
            rtmp_server.kill()
            await until(lambda: output.state == "down")
            await sent(outputs.studio, random.randrange(FPS))
            rtmp_server.start()
            begun_s = time.monotonic()
            await until(lambda: output.state == "up", BACK_S)
            took.append(time.monotonic() - begun_s)
    assert max(took) < 5
    codes = [code for code, _ in groupby(outputs.codes())]  # it may be down for two reasons
    assert codes == [Code.OUT_UP, *[Code.OUT_DOWN, Code.OUT_UP] * 3]


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
            command = command_of(good.pid or 0)
            words = [p.target for p in outputs.running]
        assert server.files(), "the right password is let in"
    log = EventLog(time.monotonic)
    for event in outputs.events:
        log(event)
    captured = capfd.readouterr()
    words += [event.message for event in outputs.events]
    words += [command, caplog.text, captured.out, captured.err]
    assert "401 Unauthorized" in "".join(words)
    for word in words:
        assert CANARY not in word
        assert secret not in word


NODE = """
import asyncio, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from peers.outputs import record, sent, studio_outputs
from peers.waiting import until
from streamsr.core.settings import PublishSettings
async def main():
    async with studio_outputs() as outputs:
        recording = outputs.start(record(Path({folder!r})))
        up, stuck = [outputs.start(PublishSettings(url=url)) for url in {urls!r}]
        await until(lambda: recording.state == up.state == "up" and stuck.pid)
        await sent(outputs.studio, 10)
        print(*(p.pid for p in outputs.running), flush=True)
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
        pids = await asyncio.to_thread(run_and_kill, script)
        assert len(pids) == 3
        await until(lambda: not any(runs(pid) for pid in pids), 2)
    (path,) = (tmp_path / name for name in os.listdir(tmp_path))
    assert b"moof" not in top_level_boxes(path), "it is a plain file, closed as it should be"
    assert seen(path).unbroken


def run_and_kill(script: str) -> list[int]:
    """Run a node until it gives the numbers of its processes, and kill it then."""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdout is not None
        try:
            return [int(word) for word in node.stdout.readline().split()]
        finally:
            node.kill()


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


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
