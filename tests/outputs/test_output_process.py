"""An output's process: what it imports, signals, a main process and reports that are gone."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from peers import FPS, MuteServer, RtmpServer, RtspServer, TcpProxy, seen
from peers.outputs import record, recorded, sent, studio_outputs
from peers.waiting import until

from streamsr.core.status import OutputState
from streamsr.outputs.reports import APART_S

TESTS = Path(__file__).parents[1]


def test_the_process_starts_without_anything_heavy() -> None:
    script = "import sys, streamsr.outputs.process; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "av" in modules
    assert not modules & {"torch", "numpy", "cv2", "asyncio", "aiohttp", "pydantic"}


async def test_signals_to_the_group_end_no_output(tmp_path: Path) -> None:
    """A terminal's Ctrl-C and systemd's SIGTERM reach every process; the node ends them."""
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path))
        await until(lambda: output.state is OutputState.UP)
        pid = output.pid or 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        await sent(outputs.studio, FPS // 2)
        assert (output.pid, output.restarts) == (pid, 0)
    (file,) = recorded(tmp_path)
    assert file.unbroken
    assert output.dropped == 0


NODE = """
import asyncio, sys
sys.path.insert(0, {tests!r})
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
        print(*(output.pid for output in outputs.running), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_killed_node_leaves_no_process_and_a_finished_file(
    rtmp_server: RtmpServer, tmp_path: Path
) -> None:
    with MuteServer() as mute:
        urls = [rtmp_server.url(), f"rtmp://127.0.0.1:{mute.port}/live/cam"]
        script = NODE.format(tests=str(TESTS), folder=str(tmp_path), urls=urls)
        pids = await asyncio.to_thread(run_and_kill, script)
        assert len(pids) == 3
        await until(lambda: not any(runs(pid) for pid in pids), 5)
    (path,) = (tmp_path / name for name in os.listdir(tmp_path))
    assert b"moof" not in top_level_boxes(path), "it is a plain file, closed as it should be"
    assert seen(path).unbroken


def run_and_kill(script: str) -> list[int]:
    """Runs a node until it gives the numbers of its processes, and kills it then."""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdout is not None
        try:
            return [int(word) for word in node.stdout.readline().split()]
        finally:
            node.kill()


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


WRITER = """
import sys, time
sys.path.insert(0, {tests!r})
from fractions import Fraction
from peers import FPS, packets
from streamsr.core.packet import Track
from streamsr.ipc.messages import OutputFormat
from streamsr.outputs.process import ServerWriter
from streamsr.outputs.reports import Reports, last_received_s
writer = ServerWriter({url!r}, "tcp", Reports(silence_s=1.0))
began_s, stream = time.monotonic(), OutputFormat(Fraction(FPS), True)
for packet in packets():
    if packet.track == Track.OUTPUT:
        time.sleep(max(0.0, began_s + packet.pts * packet.time_base - time.monotonic()))
        print(last_received_s() or 0.0, flush=True)
    writer.write(packet, stream)
    writer.check()
"""


def test_a_server_whose_bytes_are_swallowed_is_left(rtsp_server: RtspServer) -> None:
    """All is acknowledged and nothing arrives: only the server's reports are missing."""
    with TcpProxy(rtsp_server.port) as proxy:
        script = WRITER.format(tests=str(TESTS), url=rtsp_server.url(port=proxy.port))
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            assert writer.stderr is not None
            received_s: list[float] = []
            while len(received_s) < 6:  # reports, of which three have to be seen
                newest_s = float(writer.stdout.readline())
                if newest_s - (received_s or [0.0])[-1] > APART_S:
                    received_s.append(newest_s)
            proxy.black_hole()
            _, words = writer.communicate(timeout=20)
    assert "TimeoutError: the server does not report" in words
