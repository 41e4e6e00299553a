"""Outputs whose servers refuse, reset, say nothing, freeze and come back."""

import asyncio
import logging
import random
import socket
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
from peers.outputs import quick, record, recorded, sent, studio_outputs
from peers.waiting import until

from streamsr.core.deadline import OUTPUTS_SHARE, STOP_S
from streamsr.core.events import Code
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import PublishSettings
from streamsr.core.status import OutputState
from streamsr.outputs.output import Output

BACK_S = 12.0  # for an output after its peer works again
LAG_S = 1.0  # a loop that waits for one of the peers is late by seconds
CANARY = "p@ss/w%rd:#1"


@dataclass
class Fault:
    """An output whose peer fails until ``repair``; ``newest`` is the last frame it was given."""

    output: Output
    repair: Callable[[], None]
    newest: Callable[[], int]


def newest_of(file: Path) -> int:
    """The number of the last frame in a file that grows; -1 if there is none."""
    with suppress(av.FFmpegError, OSError):
        numbers = [n for n in seen(file).numbers if n is not None]
        return numbers[-1] if numbers else -1
    return -1


def newest_at(url: str) -> int:
    """The number of a frame that is played now at an address; -1 if there is none."""
    with suppress(av.FFmpegError, OSError):
        return seen(url, 1).numbers[0] or 0
    return -1


async def until_back(fault: Fault, number: int) -> float:
    """Waits until the peer has a frame that is newer than ``number``; returns the seconds."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < BACK_S:
        newest = await asyncio.to_thread(fault.newest)
        if newest >= 0 and (newest - number) % ROUND < ROUND // 2:
            break
    return time.monotonic() - begun_s


async def test_peers_that_fail_disturb_no_other_output_and_are_reached_again(
    rtmp_server: RtmpServer, require_gst: None, tmp_path: Path
) -> None:
    """Refused, mute, reset, stalled, swallowed and frozen, all at once, beside a recording."""
    with (
        RtspServer() as frozen,
        TcpProxy(rtmp_server.port) as swallowing,
        TcpProxy(rtmp_server.port) as stalled,
        TcpProxy(rtmp_server.port) as resetting,
        MuteServer() as mute,
    ):
        later = TcpProxy(rtmp_server.port, mute.port)
        refused = TcpProxy(rtmp_server.port)
        with refused:
            """It has a port from now on, and nobody there."""

        def unmute() -> None:
            mute.stop()
            later.start()

        def stop_swallowing() -> None:
            swallowing.forward()
            swallowing.reset()  # bytes are missing for good: that connection cannot go on

        rtmp = {
            "stalled": (stalled.port, stalled.forward),
            "swallowing": (swallowing.port, stop_swallowing),
            "resetting": (resetting.port, lambda: None),
            "mute": (mute.port, unmute),
            "refused": (refused.port, refused.start),
        }
        try:
            async with studio_outputs() as outputs:
                recording = outputs.start(record(tmp_path))
                await until(lambda: recording.state is OutputState.UP)
                faults = {
                    key: Fault(
                        outputs.start(
                            PublishSettings(url=rtmp_server.url(key, port=port)), **quick()
                        ),
                        repair,
                        lambda key=key: newest_at(rtmp_server.url(key)),
                    )
                    for key, (port, repair) in rtmp.items()
                }
                faults["frozen"] = Fault(
                    outputs.start(PublishSettings(url=frozen.url()), **quick()),
                    frozen.thaw,
                    lambda: newest_of(frozen.files()[-1]),
                )
                never_up = [faults["mute"].output, faults["refused"].output]
                up = [f.output for f in faults.values() if f.output not in never_up]
                await until(lambda: all(output.state is OutputState.UP for output in up))
                stalled.stall()
                swallowing.black_hole()
                frozen.freeze()
                failing = [faults["resetting"].output, *never_up]
                begun_s = time.monotonic()
                while time.monotonic() - begun_s < 2 or not all(o.restarts for o in failing):
                    resetting.reset()
                    await sent(outputs.studio, FPS // 5)

                goal = outputs.studio.sent
                for fault in faults.values():
                    fault.repair()
                took = await asyncio.gather(*(until_back(f, goal) for f in faults.values()))
                took_s = dict(zip(faults, took, strict=True))
                assert max(took) < BACK_S, (took_s, outputs.events)
                assert outputs.studio.lag_s < LAG_S
                assert (recording.restarts, recording.dropped) == (0, 0)
                begun_s = time.monotonic()
                await outputs.stop(STOP_S * OUTPUTS_SHARE)
                assert time.monotonic() - begun_s < STOP_S
        finally:
            later.stop()
            refused.stop()
    (file,) = recorded(tmp_path)
    assert file.unbroken
    assert file.numbers[0] == 0


async def test_frozen_servers_are_stopped_at_the_deadline(rtsp_server: RtspServer) -> None:
    async with studio_outputs() as outputs:
        settings = PublishSettings(url=rtsp_server.url())
        output = outputs.start(settings)
        await until(lambda: output.state is OutputState.UP)
        rtsp_server.freeze()
        other = outputs.start(settings)  # cannot even open
        await sent(outputs.studio, 2 * FPS)  # it was given a keyframe, and opens
        assert other.state is OutputState.STARTING
        begun_s = time.monotonic()
        await outputs.stop(within_s=1.0)
        assert 1.0 <= time.monotonic() - begun_s < 2.0, "the deadline, and a moment to be killed"
        assert (output.restarts, other.restarts) == (0, 0)


async def test_a_server_that_comes_back_is_soon_published_to(rtmp_server: RtmpServer) -> None:
    took = []
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtmp_server.url()))
        for _ in range(3):
            await until(lambda: output.state is OutputState.UP, BACK_S)
            rtmp_server.kill()
            await until(lambda: output.state is OutputState.DOWN)
            await sent(outputs.studio, random.randrange(FPS))
            rtmp_server.start()
            begun_s = time.monotonic()
            await until(lambda: output.state is OutputState.UP, BACK_S)
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
            bad = [outputs.start(PublishSettings(url=url), **quick()) for url in urls]
            await until(lambda: good.state is OutputState.UP)
            await until(lambda: all(p.restarts for p in bad), 12)
            command = command_of(good.pid or 0)
            words = [p.target for p in outputs.running]
        assert server.files(), "the right password is let in"
    log = logged_journal()
    for event in outputs.events:
        log(event)
    captured = capfd.readouterr()
    words += [event.message for event in outputs.events]
    words += [command, caplog.text, captured.out, captured.err]
    assert "401 Unauthorized" in "".join(words)
    for word in words:
        assert CANARY not in word
        assert secret not in word


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
