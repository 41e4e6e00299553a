"""A worker that runs before a host has a camera."""

import asyncio
from pathlib import Path

from peers.fleet import is_running
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.events.journal import logged_journal
from streamsr.fleet.host.warm_worker import WarmWorkers


async def test_the_first_node_takes_the_worker_that_runs_already() -> None:
    journal = logged_journal()
    workers = WarmWorkers(journal)
    workers.begin()
    await workers.ready(30)
    taken = workers("cpu", journal)
    pid = taken.pid
    assert pid is not None
    assert is_running(pid)
    working = asyncio.create_task(taken.run())
    await until(taken.ready.is_set, 10)
    assert workers("cpu", journal).pid is None, "there was one"
    workers.end()
    assert is_running(pid), "it is the node's"
    await taken.stop(Deadline.after())
    await asyncio.wait({working})
    assert not is_running(pid)


async def test_the_worker_of_a_node_that_has_ended_is_the_next_ones() -> None:
    journal = logged_journal()
    workers = WarmWorkers(journal)
    workers.begin()
    await workers.ready(30)
    pids = []
    for _ in range(2):
        taken = workers("cpu", journal)
        working = asyncio.create_task(taken.run())
        await until(taken.ready.is_set, 10)
        pids.append(taken.pid)
        await taken.stop(Deadline.after())
        await asyncio.wait({working})
        workers.begin()
    assert pids[0] == pids[1] is not None
    assert _children() == [pids[0]]
    workers.end()
    await until(lambda: not _children(), 10)


async def test_one_that_nobody_took_is_ended() -> None:
    workers = WarmWorkers(logged_journal())
    workers.begin()
    await until(_children, 10)
    (pid,) = _children()
    workers.end()
    await until(lambda: not is_running(pid), 10)


def _children() -> list[int]:
    found = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for path in found for pid in path.read_text().split()]
    return [
        pid for pid in pids if "streamsr.worker.main" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
