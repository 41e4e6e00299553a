"""The controller's actor: one process of the cluster in which the one controller decides."""

import asyncio
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

import ray

from streamsr.core.errors import UserError
from streamsr.core.redact import redact
from streamsr.fleet.cluster import gcs
from streamsr.fleet.cluster.actors import begin_actor
from streamsr.fleet.cluster.decisions import Decisions
from streamsr.fleet.cluster.gcs import RayNode
from streamsr.fleet.cluster.kept_state import KeptState
from streamsr.fleet.cluster.names import CONTROLLER, NAMESPACE
from streamsr.fleet.cluster.recruiting import Recruiter
from streamsr.fleet.controller import GRACE_S, Controller
from streamsr.fleet.host.machine import exists, when_ended
from streamsr.fleet.messages import FleetStatus, HostAddress, HostReport, Orders, Wanted
from streamsr.fleet.wanted import successor

__all__ = ["ControllerActor", "find_controller", "seat_of", "start_controller"]

TICK_S = 1.0
LOOK_S, AT_ONCE_S = 0.25, 0.02  # between two looks at the raylet; once it has ended
SHARE = 0.001  # of the head, which has 1

log = logging.getLogger("streamsr")


class ControllerActor:
    """What runs in the process. All methods are called by others, over Ray."""

    def __init__(self) -> None:
        begin_actor("controller")
        self._id: str = ray.get_runtime_context().get_actor_id() or ""
        self._raylet = os.getppid()
        self._kept = KeptState()
        self._controller = _restored(self._kept)
        self._decisions = Decisions(self._controller, self._is_controller, self._kept.keep)
        self._recruiter = Recruiter()
        self._ticking: asyncio.Task[None] | None = None
        self._stopping = False
        self._watching = asyncio.get_event_loop().create_task(self._end_with_raylet())

    async def begin(self) -> None:
        """Called once by who starts it, and by every host that it has: it looks after hosts."""
        if self._ticking is None and not self._stopping:
            self._ticking = asyncio.create_task(self._tick(), name="fleet")

    async def report(self, report: HostReport) -> Orders:
        """Answers a host."""
        if self._stopping:
            policy = self._controller.wanted.policy
            return Orders(policy.lease_s, (), self._controller.wanted.version)
        await self.begin()
        return await self._decisions.report(report)

    async def want(self, wanted: Wanted) -> int:
        """Takes what is wanted from now on; returns its version, which is a later one.

        Raises StaleError, as ``successor`` does, and UserError while the fleet is being ended.
        """
        if self._stopping:
            raise UserError("fleet: it is being ended: begin it again once that is done")

        def take(now: float) -> int:
            newest = successor(wanted, self._controller.wanted)
            self._controller.want(newest, now)
            return newest.version

        return await self._decisions.steer(take)

    async def drain(self, host: str) -> None:
        """Raises UserError."""
        await self._decisions.steer(lambda now: self._controller.drain(host))

    async def move(self, camera: str, host: str) -> None:
        """Raises UserError."""
        await self._decisions.steer(lambda now: self._controller.move(camera, host))

    async def status(self) -> FleetStatus:
        return self._controller.status(monotonic())

    async def addresses(self) -> tuple[HostAddress, ...]:
        """Where the nodes of the hosts serve; it holds their tokens."""
        return self._controller.addresses(monotonic())

    async def wanted(self) -> Wanted:
        return self._controller.wanted

    async def stop(self) -> None:
        """Ends every host, and forgets what was wanted; then its process is to be ended.

        What is forgotten first is not begun again by a controller in this one's place.
        """
        self._stopping = True
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        await asyncio.to_thread(self._kept.remove)
        await self._recruiter.dismiss()
        await asyncio.to_thread(self._kept.remove)  # one more decision may have come between

    async def _end_with_raylet(self) -> None:
        """Ray ends this process within a second once that of its raylet is gone: before that it has
        another begin elsewhere, which needs to wait for nothing.

        One that has ended and was not reaped is there to Ray, and this process goes on.
        """
        ended = when_ended(self._raylet)
        while os.getppid() == self._raylet:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOK_S)
                await asyncio.sleep(AT_ONCE_S)  # until this is another's child
        while exists(self._raylet):  # noqa: ASYNC110 - nobody tells that it is reaped
            await asyncio.sleep(AT_ONCE_S)
        self._decisions.end()
        log.info("fleet: Ray has ended on this machine: another controller begins elsewhere")
        with suppress(Exception):  # of Ray, whichever: the next one waits for longer
            await asyncio.to_thread(self._kept.resign)
        with suppress(Exception):
            await asyncio.to_thread(gcs.tell_that_this_machine_is_gone)
        os._exit(1)

    def _is_controller(self) -> bool:
        """Blocks for as long as Ray cannot be asked."""
        confirmed = gcs.is_this_process(self._id)
        if confirmed is None:
            return self._kept.is_newest()
        if not confirmed and os.getppid() != self._raylet:  # which would have ended this process
            os._exit(1)
        return confirmed

    async def _tick(self) -> None:
        while True:
            began = monotonic()
            try:
                await self._decisions.tick()
                await asyncio.to_thread(self._recruiter.recruit)
            except Exception as error:  # a supervisor: the next second may go better
                log.warning("fleet: %s", redact(error) or type(error).__name__)
            await asyncio.sleep(max(0.0, TICK_S - (monotonic() - began)))


def _restored(kept: KeptState) -> Controller:
    data = kept.load()
    if data is not None:
        try:
            grace_s = 0.0 if kept.is_of_an_ended_process else GRACE_S
            return Controller.restored(data, monotonic(), grace_s, kept.left)
        except UserError as error:
            log.error("fleet: what was wanted is lost: %s", redact(error))
    return Controller(Wanted(0, ()), monotonic())


def start_controller() -> Any:
    """Returns the fleet's controller, which is started where there is none."""
    seat = seat_of(gcs.alive_nodes())
    options: dict[str, Any] = {
        "name": CONTROLLER,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "num_cpus": 0,
    }
    if seat is not None and seat.is_head and not seat.cpus:
        options["resources"] = {gcs.HEAD: SHARE}  # a machine that just began knows no other yet
    elif seat is not None:
        affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        options["scheduling_strategy"] = affinity(seat.id, soft=True)
    return ray.remote(ControllerActor).options(**options).remote()


def seat_of(nodes: Iterable[RayNode]) -> RayNode | None:
    """Returns the machine that the controller is to run on; None where there is none.

    One that is no host, so that no camera's machine takes it along; of those the head, for Ray's
    own control service is there: both can be reached, or neither.
    """
    return min(nodes, key=lambda node: (node.cpus > 0, not node.is_head), default=None)


def find_controller() -> Any:
    """Returns the fleet's controller. Raises UserError where there is none."""
    with suppress(ValueError):
        return ray.get_actor(CONTROLLER, namespace=NAMESPACE)
    raise UserError("fleet: this cluster has none: streamsr fleet run FLEET.toml begins one")
