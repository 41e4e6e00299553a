"""What a host's node does about changes of what all nodes are told."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from peers.fleet import children_of
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.events.journal import logged_journal
from streamsr.core.lease import LeaseFolder
from streamsr.fleet.host.program import NodeProgram
from streamsr.ipc.messages import RunCameras

OFF = {"name": "off", "enabled": False, "input": {"url": "demo"}, "model": {"name": "bicubic"}}


async def test_a_worker_stays_while_cameras_come_and_go(tmp_path: Path) -> None:
    leases = LeaseFolder.made(tmp_path / "leases").folder
    program = NodeProgram(logged_journal())
    running = asyncio.create_task(program.run())
    workers = []
    try:
        for number, names in enumerate([["a"], [], ["a"], ["b"]], 1):
            cameras = tuple(json.dumps(OFF | {"name": name, "enabled": True}) for name in names)
            program.want(RunCameras("{}", cameras, leases, number))
            await until(lambda number=number: program.report().followed == number, 20)
            await until(lambda names=names: _live(program) == names, 40)
            workers.append(_workers())
    finally:
        running.cancel()
        program.want(RunCameras("{}", (), leases, 9))
        await asyncio.wait({running})
        await program.stop(Deadline.after())
    assert len(workers[0]) == 1
    assert workers == [workers[0]] * 4, "what comes needs to wait for no other process"
    await until(lambda: not _workers(), 10)


def _live(program: NodeProgram) -> list[str]:
    return [c.name for c in program.report().cameras if c.state == "live"]


def _workers() -> list[int]:
    own = children_of(os.getpid())
    return [
        pid for pid in own if "streamsr.worker.main" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


async def test_a_change_of_webrtc_takes_hold_while_the_node_runs(tmp_path: Path) -> None:
    leases = LeaseFolder.made(tmp_path / "leases").folder
    program = NodeProgram(logged_journal())

    def want(number: int, **webrtc: Any) -> None:
        groups = {"name": "yard", "webrtc": webrtc}
        program.want(RunCameras(json.dumps(groups), (json.dumps(OFF),), leases, number))

    running = asyncio.create_task(program.run())
    try:
        for number, webrtc in enumerate([{}, {"udp_ports": "50000-50009"}, {}], 1):
            want(number, **webrtc)
            await until(lambda number=number: program.report().followed == number, 20)
            await until(lambda: [c.reason for c in program.report().cameras] == [""], 20)
    finally:
        running.cancel()
        program.want(RunCameras("{}", (), leases, 9))
        await asyncio.wait({running})
