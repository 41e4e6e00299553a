"""A host's actor: the process of one machine that keeps its node at what the controller says."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

import ray

from streamsr.core.deadline import Deadline
from streamsr.core.redact import redact
from streamsr.fleet.cluster import gcs
from streamsr.fleet.cluster.actors import begin_actor
from streamsr.fleet.cluster.names import CONTROLLER, NAMESPACE
from streamsr.fleet.host.host import Host, Identity
from streamsr.fleet.host.machine import capacity_of_machine, kind_of_machine
from streamsr.fleet.host.node_process import NodeProcess
from streamsr.fleet.host.serving import Serving
from streamsr.fleet.messages import HostReport, Orders
from streamsr.fleet.own_folder import make_own_folder

__all__ = ["HostActor"]

LOOK_S = 0.25  # between two looks at the raylet

log = logging.getLogger("streamsr")


class HostActor:
    """What runs in the process. The raylet that it belongs to is its parent."""

    def __init__(self, name: str, labels: Mapping[str, str]) -> None:
        begin_actor(name)
        self._folder = make_own_folder("streamsr-host-")
        address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        serving = Serving.begun(address, self._folder / "serving")
        identity = Identity(
            name=name,
            incarnation=time.time_ns(),
            labels=labels,
            kind=kind_of_machine(),
            capacity=capacity_of_machine(),
            pid=os.getppid(),
            token=serving.token,
        )
        groups = {"name": "node", **serving.groups}
        node = NodeProcess(groups, self._folder, lambda text: log.warning("%s", text))
        self._host = Host(identity, _Link(), node)
        loop = asyncio.get_event_loop()
        self._tasks = [
            loop.create_task(self._host.run(), name="host"),
            loop.create_task(self._end_with_raylet(identity.pid), name="raylet"),
        ]
        for task in self._tasks:
            task.add_done_callback(_end_by_fault)

    async def ping(self) -> int:
        """Returns the process's id, once it runs."""
        return os.getpid()

    async def drain(self) -> None:
        """Has it take nothing new, and give up what it has."""
        self._host.draining = True

    async def stop(self) -> None:
        """Ends what it runs."""
        for task in self._tasks:
            task.cancel()
        await self._host.stop(Deadline.after())
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _end_with_raylet(self, pid: int) -> None:
        """Ends this process with Ray's on this machine: to the cluster the machine is gone.

        Ray looks whether there is a process of that number, which goes on while nobody has reaped
        it.
        """
        while os.getppid() == pid:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_S)
        host = self._tasks[0]
        host.cancel()
        await asyncio.wait({host})
        try:
            await self._host.leave()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(1)


def _end_by_fault(task: asyncio.Task[None]) -> None:
    """Ends this process, for Ray to start another, where what it does has failed."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("fleet: this host starts again: %s", redact(error) or type(error).__name__)
        os._exit(1)


class _Link:
    """The way to the controller over Ray, which finds it wherever it runs."""

    def __init__(self) -> None:
        self._controller: Any = None

    async def report(self, report: HostReport) -> Orders:
        controller = await self._found()
        try:
            orders: Orders = await controller.report.remote(report)
        except ray.exceptions.ActorDiedError:
            self._controller = None  # it will not come back, but another one may
            raise
        return orders

    async def is_down(self) -> bool:
        try:
            return not await asyncio.to_thread(gcs.actor_runs, await self._found())
        except ValueError:  # there is none of its name
            return True
        except Exception:  # whichever: nobody knows
            return False

    async def _found(self) -> Any:
        if self._controller is None:
            self._controller = await asyncio.to_thread(
                ray.get_actor, CONTROLLER, namespace=NAMESPACE
            )
        return self._controller
