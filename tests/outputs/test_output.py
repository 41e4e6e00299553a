"""An output and its process: what servers get, what is kept for them, what is counted and told."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from peers import FPS, RtmpServer, RtspServer, seen
from peers.outputs import Outputs, quick, record, recorded, sent, studio_outputs
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.events import Code
from streamsr.core.settings import HlsSettings, PublishSettings
from streamsr.core.status import OutputState
from streamsr.outputs.output import Output
from streamsr.outputs.packet_queue import IN_FLIGHT

UP, DOWN, OFF = OutputState.UP, OutputState.DOWN, OutputState.OFF


@pytest.mark.serial
async def test_rtsp_servers_get_frames_and_audio(rtsp_server: RtspServer) -> None:
    with RtspServer() as other_server:
        servers = {"tcp": rtsp_server, "udp": other_server}
        async with studio_outputs() as outputs:
            started = [
                outputs.start(PublishSettings(url=server.url(), transport=transport))
                for transport, server in servers.items()
            ]
            await until(lambda: all(output.state is UP for output in started))
            await sent(outputs.studio, 5 * FPS)
        assert outputs.codes() == [Code.OUT_UP] * 2
        assert [(o.name, o.dropped, o.restarts) for o in started] == [("rtsp-1", 0, 0)] * 2
        for transport, server in servers.items():
            await until(lambda server=server: len(server.files()) == 1)
            found = await asyncio.to_thread(seen, server.files()[0])
            assert found.unbroken or transport == "udp"  # a busy machine loses datagrams
            assert len(found.numbers) > 3 * FPS
            shown = zip(found.numbers, found.times, strict=True)
            whole = [(number, time_s) for number, time_s in shown if number is not None]
            (first, begun_s), (last, end_s) = whole[2 * FPS], whole[-1]  # it finds its pace
            assert (last - first) / (end_s - begun_s) == pytest.approx(FPS, rel=0.03)
            assert found.offset_s(after_s=1.2) < 0.1


async def test_a_silent_stream_is_announced_without_audio(rtsp_server: RtspServer) -> None:
    async with studio_outputs(audio=False) as outputs:
        output = outputs.start(PublishSettings(url=rtsp_server.url("silent")))
        await until(lambda: output.state is UP)
        await sent(outputs.studio, FPS)
    found = await asyncio.to_thread(seen, rtsp_server.files()[0])
    assert found.unbroken
    assert found.samples == 0


async def test_an_rtmp_server_gets_frames_and_audio(rtmp_server: RtmpServer) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(PublishSettings(url=rtmp_server.url()))
        await until(lambda: output.state is UP)
        found = await asyncio.to_thread(seen, rtmp_server.url(), 3 * FPS)
        assert output.target == f"rtmp://127.0.0.1:{rtmp_server.port}/live/***"
        assert (output.name, output.dropped, output.restarts) == ("rtmp-1", 0, 0)
    assert found.unbroken
    assert found.times[-1] - found.times[0] == pytest.approx(3 - 1 / FPS, abs=0.05)
    assert found.offset_s() < 0.1


async def test_a_stream_that_ends_ends_its_outputs(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path))
        await sent(outputs.studio, FPS // 2)
        outputs.studio.broadcaster.close()
        await asyncio.wait_for(outputs.tasks[0], 5)
        assert (output.state, output.failure) == (OFF, None)
    (file,) = recorded(tmp_path)
    assert file.unbroken


async def test_an_output_that_never_ran_can_be_stopped(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        settings, broadcaster = HlsSettings(folder=tmp_path), outputs.studio.broadcaster
        output = Output("cam", settings, broadcaster, outputs.events.append)
        await output.stop(Deadline.after(1))
        assert output.state is OFF


async def test_a_server_that_comes_late_misses_nothing(rtsp_server: RtspServer) -> None:
    rtsp_server.kill()
    async with studio_outputs() as outputs:
        settings = PublishSettings(url=rtsp_server.url(), give_up_s=10)
        output = outputs.start(settings, **quick())
        await until(lambda: output.restarts >= 2)
        rtsp_server.start()
        await until(lambda: output.state is UP)
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
        outputs.studio.speed = 4
        settings = PublishSettings(url=rtsp_server.url(), give_up_s=10)
        output = outputs.start(settings, **quick())
        await until(lambda: output.restarts >= 1 and outputs.studio.sent >= 2 * FPS)
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


async def test_a_server_that_does_not_exist_is_given_up() -> None:
    async with studio_outputs() as outputs:
        settings = PublishSettings(url="rtsp://me:canary@127.0.0.1:1/live", give_up_s=1.5)
        output = outputs.start(settings)
        await asyncio.wait_for(outputs.tasks[0], 5)
        await output.arrived()
        assert not outputs.studio.broadcaster.closed
    assert str(output.failure) == (
        "rtsp-1 rtsp://***@127.0.0.1:1/live: nothing was delivered: it was not up within 2 s "
        "(Connection refused)"
    )


async def test_what_a_server_missed_is_told(rtsp_server: RtspServer) -> None:
    async with studio_outputs() as outputs:
        whole = PublishSettings(url=rtsp_server.url(), give_up_s=10)
        output = outputs.start(whole, **quick())
        other = outputs.start(PublishSettings(url=rtsp_server.url()), **quick())
        await until(lambda: output.state is other.state is UP)
        rtsp_server.kill()
        await until(lambda: output.state is DOWN)
        rtsp_server.start()
        await until(lambda: output.state is other.state is UP)
    assert "not all was delivered: it went down 1 times" in str(output.failure)
    assert other.failure is None, "it was to get what is live"


class BrokenFormat:
    """What no sender should say of its stream."""

    audio = True

    @property
    def rate(self) -> None:
        raise ZeroDivisionError("rtsp://me:canary@cam")


async def test_a_fault_of_ours_is_no_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The process would go on saying that it is up, and get nothing."""
    async with studio_outputs() as outputs:
        broadcaster = outputs.studio.broadcaster
        output = outputs.start(record(tmp_path), **quick())
        await until(lambda: output.state is UP)
        stream, broadcaster.format = broadcaster.format, BrokenFormat()  # type: ignore[assignment]
        await until(lambda: output.restarts >= 2)
        assert output.state is DOWN
        broadcaster.format = stream
        await until(lambda: output.state is UP)
    assert outputs.codes() == [Code.OUT_UP, Code.OUT_DOWN, Code.OUT_UP]
    assert "ZeroDivisionError" in outputs.events[1].message
    assert caplog.text.count("Traceback") == 1
    assert "canary" not in caplog.text


async def recording_of_studio(outputs: Outputs, folder: Path) -> tuple[Output, int]:
    """Starts a recording, and gives it and its process once it is up."""
    output = outputs.start(record(folder), **quick())
    await until(lambda: output.state is UP)
    assert output.pid is not None
    return output, output.pid


async def test_a_recorder_that_is_started_again_asks_for_a_keyframe(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output, pid = await recording_of_studio(outputs, tmp_path)
        assert outputs.studio.asked == 1
        os.kill(pid, signal.SIGKILL)
        await until(lambda: output.restarts == 1 and output.pid is not None)
        await until(lambda: outputs.studio.asked == 2)


async def test_every_packet_that_was_lost_is_counted(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output, pid = await recording_of_studio(outputs, tmp_path)
        os.kill(pid, signal.SIGSTOP)
        outputs.studio.speed = 4
        await sent(outputs.studio, 2 * FPS)  # 145 packets: more than may be in flight
        assert output.dropped == 0
        os.kill(pid, signal.SIGKILL)
        await until(lambda: output.restarts == 1)
        assert output.dropped == IN_FLIGHT
