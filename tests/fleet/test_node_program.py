"""What a host's node does about changes of what all nodes are told."""

import asyncio
import json
from pathlib import Path
from typing import Any

from peers.waiting import until

from streamsr.core.events.journal import logged_journal
from streamsr.core.lease import LeaseFolder
from streamsr.fleet.host.program import NodeProgram
from streamsr.ipc.messages import RunCameras

OFF = {"name": "off", "enabled": False, "input": {"url": "demo"}, "model": {"name": "bicubic"}}


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
