"""The controller's actor: one process of the cluster in which the one controller decides.

It decides only while Ray takes this process for the controller: asked before each answer, for an
older one that was cut off may not know of the one in its place. Where Ray cannot be asked it
prolongs what is, for a while that one in its place waits for before it gives anything away.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar

import ray

from streamsr.core.errors import UserError
from streamsr.core.redact import redact
from streamsr.fleet.cluster import gcs
from streamsr.fleet.cluster.actors import begin_actor
from streamsr.fleet.cluster.kept_state import KeptState
from streamsr.fleet.cluster.names import CONTROLLER, NAMESPACE
from streamsr.fleet.cluster.recruiting import Recruiter
from streamsr.fleet.controller import GRACE_S, Controller
from streamsr.fleet.messages import FleetStatus, HostAddress, HostReport, Orders, Wanted

__all__ = ["ControllerActor", "find_controller", "start_controller"]

TICK_S = 1.0
ASK_S = 0.5  # for Ray to say who the controller is

T = TypeVar("T")

log = logging.getLogger("streamsr")


class ControllerActor:
    """What runs in the process. All methods are called by others, over Ray."""

    def __init__(self) -> None:
        begin_actor("controller")
        self._id: str = ray.get_runtime_context().get_actor_id() or ""
        self._raylet = os.getppid()
        self._kept = KeptState()
        self._controller = _restored(self._kept)
        self._saved = self._controller.changes
        self._confirmed = float("-inf")  # monotonic: Ray said that this is the controller
        self._deciding = asyncio.Lock()
        self._recruiter = Recruiter()
        self._ticking: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Called once by who starts it, and by every host that it has: it looks after hosts."""
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="fleet")

    async def report(self, report: HostReport) -> Orders:
        """Answers a host."""
        await self.begin()
        return await self._decide(lambda now: self._controller.report(report, now))

    async def want(self, wanted: Wanted) -> int:
        """Takes what is wanted from now on; returns its version, which is a later one."""
        version = max(wanted.version, self._controller.wanted.version + 1)
        wanted = replace(wanted, version=version)
        await self._decide(lambda now: self._controller.want(wanted, now))
        return version

    async def drain(self, host: str) -> None:
        """Raises UserError."""
        await self._decide(lambda now: self._controller.drain(host))

    async def move(self, camera: str, host: str) -> None:
        """Raises UserError."""
        await self._decide(lambda now: self._controller.move(camera, host))

    async def status(self) -> FleetStatus:
        return self._controller.status(monotonic())

    async def addresses(self) -> tuple[HostAddress, ...]:
        """Where the nodes of the hosts serve; it holds their tokens."""
        return self._controller.addresses(monotonic())

    async def wanted(self) -> Wanted:
        return self._controller.wanted

    async def stop(self) -> None:
        """Ends every host, and forgets what was wanted; then its process is to be ended."""
        if self._ticking is not None:
            self._ticking.cancel()
        await self._recruiter.dismiss()
        await asyncio.to_thread(self._kept.remove)

    async def _decide(self, decision: Callable[[float], T]) -> T:
        """Raises ConnectionError where this is not the controller, as far as it can know."""
        async with self._deciding:
            now = monotonic()
            await self._confirm(now)
            decided: T = decision(now)
            if self._controller.changes != self._saved:
                changes, data = self._controller.changes, self._controller.state()
                await asyncio.to_thread(self._kept.keep, data)
                self._saved = changes
            return decided

    async def _confirm(self, now: float) -> None:
        try:
            async with asyncio.timeout(ASK_S):
                confirmed = await asyncio.to_thread(gcs.is_this_process, self._id)
        except Exception as error:  # whichever: Ray cannot be asked
            if now - self._confirmed > GRACE_S:
                raise ConnectionError(f"Ray does not answer: {redact(error)}") from None
            self._controller.hold(now + ASK_S)
            return
        if not confirmed:
            if os.getppid() != self._raylet:  # which would have ended this process
                os._exit(1)
            raise ConnectionError("another process is the controller")
        self._confirmed = now

    async def _tick(self) -> None:
        while True:
            began = monotonic()
            try:
                await self._decide(self._controller.tick)
                await asyncio.to_thread(self._recruiter.recruit, self._controller.wanted.groups)
            except Exception as error:  # a supervisor: the next second may go better
                log.warning("fleet: %s", redact(error) or type(error).__name__)
            await asyncio.sleep(max(0.0, TICK_S - (monotonic() - began)))


def _restored(kept: KeptState) -> Controller:
    data = kept.load()
    if data is not None:
        try:
            return Controller.restored(data, monotonic(), GRACE_S)
        except UserError as error:
            log.error("fleet: what was wanted is lost: %s", redact(error))
    return Controller(Wanted(0, ()), monotonic())


def start_controller() -> Any:
    """Returns the fleet's controller, which is started where there is none."""
    head = next((node.id for node in gcs.alive_nodes() if node.is_head), None)
    options: dict[str, Any] = {
        "name": CONTROLLER,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "num_cpus": 0,
    }
    if head is not None:  # with Ray's own control service, both can be reached or neither
        affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        options["scheduling_strategy"] = affinity(head, soft=True)
    return ray.remote(ControllerActor).options(**options).remote()


def find_controller() -> Any:
    """Returns the fleet's controller. Raises UserError where there is none."""
    with suppress(ValueError):
        return ray.get_actor(CONTROLLER, namespace=NAMESPACE)
    raise UserError("fleet: this cluster has none: streamsr fleet run FLEET.toml begins one")
