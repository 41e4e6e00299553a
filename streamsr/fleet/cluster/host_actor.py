"""A host's actor: the process of one machine that keeps its node at what the controller says."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray

from streamsr.core.deadline import Deadline
from streamsr.core.devices import count_cuda_devices
from streamsr.core.redact import redact
from streamsr.fleet.cluster import gcs
from streamsr.fleet.cluster.actors import begin_actor
from streamsr.fleet.cluster.kept_state import tell_that_it_left, tell_who_has_ended
from streamsr.fleet.cluster.names import CONTROLLER, NAMESPACE
from streamsr.fleet.cluster.urgency import Hurry
from streamsr.fleet.host.host import Host, Identity
from streamsr.fleet.host.machine import (
    CORE_MS,
    capacity_of_machine,
    is_stopped,
    kind_of_machine,
    when_ended,
)
from streamsr.fleet.host.node_process import NodeProcess
from streamsr.fleet.host.serving import Serving
from streamsr.fleet.host.trial import trial_of_machine
from streamsr.fleet.messages import HostReport, Orders
from streamsr.fleet.own_folder import make_own_folder

__all__ = ["HostActor"]

LOOK_S, AT_ONCE_S = 0.25, 0.02  # between two looks at the raylet; once it has ended
LOOKS = 20  # for a controller that starts, a tenth of a second apart
TOLD_S = 0.4  # for Ray to hear which machines are gone, before it is asked
FIRST_HEARD_S = (
    1.2  # for a controller to hear that it has ended, before Ray is told to begin another
)

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
            gpus=count_cuda_devices(),
            pid=os.getppid(),
            token=serving.token,
        )
        self._named = identity.name, identity.incarnation
        groups = {"name": "node", **serving.groups}
        self._node = NodeProcess(groups, self._folder, lambda text: log.warning("%s", text))
        self._host = Host(identity, _Link(), self._node)
        loop = asyncio.get_event_loop()
        self._tasks = [
            loop.create_task(self._host.run(), name="host"),
            loop.create_task(self._end_with_raylet(identity.pid), name="raylet"),
            loop.create_task(self._try(identity.capacity / CORE_MS), name="trial"),
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

    async def _try(self, cores: float) -> None:
        try:
            self._host.trial = await trial_of_machine(cores)
        except Exception as error:  # whatever: nothing depends on it
            log.warning("fleet: its speed is not known: %s", redact(error) or type(error).__name__)

    async def _end_with_raylet(self, pid: int) -> None:
        """Ends this process with Ray's on this machine: to the cluster the machine is gone.

        Ray looks whether there is a process of that number, which goes on while nobody has reaped
        it; then it ends this process within a second.
        """
        ended = when_ended(pid)
        while os.getppid() == pid:
            parts = (pid, self._node.pid)  # the former is taken for dead once Ray's checks fail
            self._host.frozen = any(is_stopped(part) for part in parts if part is not None)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOK_S)
                await asyncio.sleep(AT_ONCE_S)  # until this is another's child
        host = self._tasks[0]
        self._node.let_go()
        noted = asyncio.create_task(self._note_that_it_left())
        host.cancel()
        await asyncio.wait({host})
        log.info("fleet: Ray has ended on this machine, and what ran here with it")
        try:
            if not await self._host.leave(FIRST_HEARD_S):
                with suppress(Exception):  # of Ray, whichever: the next controller waits for longer
                    await asyncio.to_thread(tell_who_has_ended)
                await self._host.leave()
            await noted
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(1)

    async def _note_that_it_left(self) -> None:
        with suppress(Exception):  # of Ray, whichever: it is said to the controller as well
            await asyncio.to_thread(tell_that_it_left, *self._named)


def _end_by_fault(task: asyncio.Task[None]) -> None:
    """Ends this process, for Ray to start another, where what it does has failed."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("fleet: this host starts again: %s", redact(error) or type(error).__name__)
        os._exit(1)


class _Link:
    """The way to the controller over Ray, which finds it wherever it runs."""

    def __init__(self) -> None:
        self._controller: Any = None
        self._hurry = Hurry(gcs.address())
        self._hurrying: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None  # Ray, which machines are gone

    async def report(self, report: HostReport) -> Orders:
        controller = await self._found()
        try:
            orders: Orders = await controller.report.remote(report)
        except ray.exceptions.ActorDiedError:
            self._controller = None  # it will not come back, but another one may
            raise
        self._hurry.off()
        return orders

    async def is_down(self) -> bool:
        try:
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(_tell_which_machines_are_gone())
                await asyncio.wait({self._telling}, timeout=TOLD_S)
            down = not await asyncio.to_thread(gcs.actor_runs, await self._found())
            if down and (self._hurrying is None or self._hurrying.done()):
                self._hurrying = asyncio.create_task(self._hurry_it())
            return down
        except ValueError:  # there is none of its name
            return True
        except Exception:  # whichever: nobody knows
            return False

    async def _hurry_it(self) -> None:
        """The controller may be started on this machine."""
        for _ in range(LOOKS):
            await asyncio.to_thread(self._hurry.on)
            await asyncio.sleep(TOLD_S / 4)

    async def _found(self) -> Any:
        if self._controller is None:
            self._controller = await asyncio.to_thread(
                ray.get_actor, CONTROLLER, namespace=NAMESPACE
            )
        return self._controller


async def _tell_which_machines_are_gone() -> None:
    try:
        await asyncio.to_thread(gcs.tell_which_machines_are_gone)
    except Exception as error:  # of Ray, whichever: it notices by itself, later
        log.info("fleet: Ray is not told which machines are gone: %s", redact(error))
