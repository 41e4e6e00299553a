"""Outputs that are to get all of a stream: late servers, servers that are none, faults of ours."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from peers import FPS, RtspServer, TcpProxy, seen
from peers.outputs import Outputs, record, recorded, sent, studio_outputs
from peers.waiting import until

from streamsr.core.events import Code
from streamsr.core.settings import PublishSettings
from streamsr.core.status import StreamStatus
from streamsr.outputs.output import Output
from streamsr.outputs.packet_queue import IN_FLIGHT
from streamsr.outputs.reports import SILENT_S


def packets_missing(output: Output) -> str:
    return str(output.failure or "")


async def test_a_server_that_comes_late_misses_nothing(rtsp_server: RtspServer) -> None:
    rtsp_server.kill()
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtsp_server.url()), give_up_s=10)
        await until(lambda: output.restarts >= 2)
        rtsp_server.start()
        await until(lambda: output.state == "up")
        await sent(outputs.studio, FPS)
        outputs.studio.broadcaster.close()
        await output.arrived()
    assert output.failure is None
    found = await asyncio.to_thread(seen, rtsp_server.files()[0])
    assert found.numbers[0] == 0
    assert found.unbroken
    assert outputs.codes() == [Code.OUT_DOWN, Code.OUT_UP]


async def test_a_stream_that_is_over_waits_for_its_server(rtsp_server: RtspServer) -> None:
    rtsp_server.kill()
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtsp_server.url()), give_up_s=10)
        await until(lambda: output.restarts >= 1)
        await sent(outputs.studio, 2 * FPS)
        outputs.studio.broadcaster.close()
        rtsp_server.start()
        await output.arrived()
        assert output.failure is None
        assert outputs.tasks[0].done()
    await until(lambda: len(rtsp_server.files()) == 1)
    found = await asyncio.to_thread(seen, rtsp_server.files()[0])
    assert found.numbers[0] == 0
    assert len(found.numbers) > FPS, "but for the second that the server itself may hold"
    assert found.unbroken


async def test_a_server_that_is_none_is_given_up() -> None:
    async with studio_outputs() as outputs:
        settings = PublishSettings(url="rtsp://me:canary@127.0.0.1:1/live")
        output = outputs.start(settings, give_up_s=1.5)
        await asyncio.wait_for(outputs.tasks[0], 5)
        await output.arrived()
        assert not outputs.studio.broadcaster.closed
    assert packets_missing(output) == (
        "rtsp rtsp://***@127.0.0.1:1/live: nothing was delivered: it was not up within 2 s "
        "(Connection refused)"
    )


async def test_what_a_server_missed_is_said(rtsp_server: RtspServer) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtsp_server.url()), give_up_s=10)
        other = outputs.start(PublishSettings(url=rtsp_server.url()))
        await until(lambda: output.state == other.state == "up")
        rtsp_server.kill()
        await until(lambda: output.state == "down")
        rtsp_server.start()
        await until(lambda: output.state == other.state == "up")
    assert "not all was delivered: it went down 1 times" in packets_missing(output)
    assert other.failure is None, "it was to get what is live"


async def test_a_fault_of_ours_is_no_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The process would go on saying that it is up, and get nothing."""
    async with studio_outputs() as outputs:
        ill = asyncio.Event()

        def status() -> StreamStatus:
            if ill.is_set():
                raise ZeroDivisionError("rtsp://me:canary@cam")
            return outputs.studio.status()

        output = started(outputs, tmp_path, status)
        await until(lambda: output.state == "up")
        ill.set()
        await until(lambda: output.restarts >= 2)
        assert output.state == "down"
        ill.clear()
        await until(lambda: output.state == "up")
    assert outputs.codes() == [Code.OUT_UP, Code.OUT_DOWN, Code.OUT_UP]
    assert "ZeroDivisionError" in outputs.events[1].message
    assert caplog.text.count("Traceback") == 1
    assert "canary" not in caplog.text


def started(outputs: Outputs, folder: Path, status: object) -> Output:
    broadcaster, emit = outputs.studio.broadcaster, outputs.events.append
    output = Output("cam", record(folder), broadcaster, status, emit)  # type: ignore[arg-type]
    outputs.running.append(output)
    outputs.tasks.append(asyncio.create_task(output.run()))
    return output


async def test_a_recorder_that_is_started_again_asks_for_a_keyframe(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path))
        await until(lambda: output.state == "up")
        assert outputs.studio.asked == 1
        os.kill(output.pid or 0, signal.SIGKILL)
        await until(lambda: output.restarts == 1 and output.pid is not None)
        await until(lambda: outputs.studio.asked == 2)


async def test_every_packet_that_was_lost_is_counted(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path))
        await until(lambda: output.state == "up")
        pid = output.pid or 0
        os.kill(pid, signal.SIGSTOP)
        await sent(outputs.studio, 2 * FPS)  # 145 packets: more than may be under way
        assert output.dropped == 0
        os.kill(pid, signal.SIGKILL)
        await until(lambda: output.restarts == 1)
        assert output.dropped == IN_FLIGHT


async def test_signals_to_the_group_end_no_output(tmp_path: Path) -> None:
    """A terminal's Ctrl-C and systemd's SIGTERM reach every process; the node ends them."""
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path))
        await until(lambda: output.state == "up")
        pid = output.pid or 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        await sent(outputs.studio, FPS)
        assert (output.pid, output.restarts) == (pid, 0)
    (file,) = recorded(tmp_path)
    assert file.unbroken
    assert output.dropped == 0


async def test_a_connection_whose_bytes_are_swallowed_is_left(rtsp_server: RtspServer) -> None:
    """All is acknowledged and nothing arrives: only the server's reports are missing."""
    with TcpProxy(rtsp_server.port) as proxy:
        async with studio_outputs() as outputs:
            settings = PublishSettings(url=rtsp_server.url(port=proxy.port))
            output = outputs.start(settings)
            await until(lambda: output.state == "up")
            await sent(outputs.studio, 18 * FPS)  # several reports
            assert output.restarts == 0
            proxy.black_hole()
            await until(lambda: output.state == "down", SILENT_S + 10)
            proxy.forward()
            await until(lambda: output.state == "up")
    assert "does not report" in outputs.events[1].message
