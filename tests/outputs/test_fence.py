"""Outputs of a camera with a lease: what they write while it holds, and that they end with it."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from peers import RtmpServer, TcpProxy, packets
from peers.fleet import children_of
from peers.outputs import Outputs, quick, record, recorded, sent, studio_outputs
from peers.studio import FPS
from peers.waiting import until

from streamsr.core.lease import Lease, LeaseFolder, now_ns
from streamsr.core.packet import Track
from streamsr.core.settings import PublishSettings
from streamsr.core.status import OutputState
from streamsr.ipc.framing import encode
from streamsr.ipc.messages import FinishOutput, OutputFormat, OutputPacket, StartHls
from streamsr.outputs.output import Output

SECOND_NS = 1_000_000_000


@pytest.fixture
def leases(tmp_path: Path) -> LeaseFolder:
    return LeaseFolder.made(tmp_path / "leases")


async def published(outputs: Outputs, url: str, lease: Path | None) -> Output:
    output = outputs.start(PublishSettings(url=url), lease=lease, **quick())
    await until(lambda: output.state is OutputState.UP)
    return output


def pid_of(output: Output) -> int:
    assert output.pid is not None
    return output.pid


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("frozen", [slice(None), slice(1, None)], ids=["all", "writes"])
async def test_a_frozen_process_is_killed_when_its_lease_is_over(
    rtmp_server: RtmpServer, leases: LeaseFolder, frozen: slice
) -> None:
    """The server is free then for another machine, and what thaws writes nothing any more."""
    async with studio_outputs() as outputs:
        lease = leases.path_of("cam")
        leases.grant("cam", now_ns() + 30 * SECOND_NS)
        output = await published(outputs, rtmp_server.url(), lease)
        leases.grant("cam", now_ns() + SECOND_NS)
        await sent(outputs.studio, FPS // 2)  # what guards it looks at its lease meanwhile
        pids = children_of(pid_of(output))
        assert len(pids) == 2, "one writes, and one guards it"
        for pid in pids[frozen]:
            os.kill(pid, signal.SIGSTOP)
        held = Lease(lease).until_ns
        await until(lambda: not any(runs(pid) for pid in pids), 5)
        assert held <= now_ns() < held + 2 * SECOND_NS
        await published(outputs, rtmp_server.url(), None)


async def test_a_slow_server_is_waited_for_as_long_as_the_lease_is_renewed(
    rtmp_server: RtmpServer, leases: LeaseFolder
) -> None:
    """FFmpeg holds its process the while."""
    proxied = urlsplit(rtmp_server.url())
    async with studio_outputs() as outputs:
        with TcpProxy(proxied.port or 0) as slow:
            slow.stall()
            settings = PublishSettings(url=f"rtmp://127.0.0.1:{slow.port}{proxied.path}")
            output = outputs.start(settings, lease=leases.path_of("cam"))
            accepted: list[int] = []
            while output.state is not OutputState.UP:
                leases.grant("cam", now_ns() + 2 * SECOND_NS)
                await sent(outputs.studio, FPS // 5)
                accepted += [now_ns()] if slow.connections else []
                if accepted and now_ns() - accepted[0] > 3 * SECOND_NS:
                    slow.forward()
            assert output.restarts == 0


async def test_what_may_not_publish_waits_until_it_may(
    rtmp_server: RtmpServer, leases: LeaseFolder
) -> None:
    async with studio_outputs() as outputs:
        settings = PublishSettings(url=rtmp_server.url())
        output = outputs.start(settings, lease=leases.path_of("cam"), **quick())
        await until(lambda: output.pid is not None)
        await sent(outputs.studio, FPS)
        assert output.state is OutputState.STARTING
        assert output.restarts == 0, "it waits in one process"
        leases.grant("cam", now_ns() + 30 * SECOND_NS)
        await until(lambda: output.state is OutputState.UP)
        leases.end("cam")
        await until(lambda: output.state is OutputState.DOWN)
        assert "the lease of this camera is over" in outputs.events[-1].message
        leases.grant("cam", now_ns() + 30 * SECOND_NS)
        await until(lambda: output.state is OutputState.UP)


async def test_a_lease_that_is_renewed_ends_nothing(
    rtmp_server: RtmpServer, leases: LeaseFolder
) -> None:
    async with studio_outputs() as outputs:
        leases.grant("cam", now_ns() + 30 * SECOND_NS)
        output = await published(outputs, rtmp_server.url(), leases.path_of("cam"))
        pid = output.pid
        for _ in range(6):
            leases.grant("cam", now_ns() + SECOND_NS)
            await sent(outputs.studio, FPS // 3)
        assert (output.pid, output.restarts) == (pid, 0)


async def test_a_recording_ends_with_the_lease_and_its_file_plays(
    leases: LeaseFolder, tmp_path: Path
) -> None:
    async with studio_outputs() as outputs:
        leases.grant("cam", now_ns() + 30 * SECOND_NS)
        folder = tmp_path / "rec"
        folder.mkdir()
        output = outputs.start(record(folder), lease=leases.path_of("cam"), **quick())
        await until(lambda: output.state is OutputState.UP)
        await sent(outputs.studio, FPS)
        leases.end("cam")
        await until(lambda: output.state is OutputState.DOWN)
        await sent(outputs.studio, 2 * FPS)
    (file,) = recorded(folder)
    assert file.unbroken


@pytest.mark.parametrize("moved", [True, False])
def test_players_are_told_of_an_end_where_no_other_machine_goes_on(
    leases: LeaseFolder, tmp_path: Path, moved: bool
) -> None:
    """The lease is over, and the output is to finish, between two of its looks at the lease."""
    folder = tmp_path / "hls"
    folder.mkdir()
    leases.grant("cam", now_ns() + 60 * SECOND_NS)
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "streamsr.outputs.process", str(theirs.fileno())]
    with ours, theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.settimeout(20)
        ours.sendall(encode(StartHls(folder, 1.0, 3, leases.path_of("cam"))))
        ours.sendall(encode(OutputFormat(Fraction(FPS), False)))
        coming = (p for p in packets(lambda: (64, 48)) if p.track == Track.OUTPUT)
        for packet in itertools.islice(coming, 2 * FPS + 1):
            ours.sendall(encode(OutputPacket(packet)))
        playlist = folder / "index.m3u8"
        while not playlist.exists() or playlist.read_text().count("#EXTINF") < 2:
            ours.recv(65536)  # it reports a few times a second, when all is written as well
        if moved:
            leases.end("cam")
        ours.sendall(encode(FinishOutput()))
        assert process.wait(30) == 0
    assert ("#EXT-X-ENDLIST" in playlist.read_text()) is not moved


async def test_without_its_file_nothing_is_written(rtmp_server: RtmpServer, tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        settings = PublishSettings(url=rtmp_server.url())
        output = outputs.start(settings, lease=tmp_path / "gone", **quick())
        await until(lambda: output.state is OutputState.DOWN)
