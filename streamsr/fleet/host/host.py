"""A machine of a fleet: reports once a second, and runs what it is answered as long as it may."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from streamsr.core.deadline import Deadline
from streamsr.core.lease import now_ns
from streamsr.core.redact import redact
from streamsr.core.status import StreamState
from streamsr.fleet.host.node_process import NodeProcess
from streamsr.fleet.host.taken import HostShares
from streamsr.fleet.host.trial import Trial
from streamsr.fleet.host.usage import CpuUsage
from streamsr.fleet.lease import HostLease
from streamsr.fleet.messages import Assignment, CameraReport, HostReport, Orders
from streamsr.ipc.messages import RunningCamera

__all__ = ["ControllerLink", "Host", "Identity"]

EVERY_S = 1.0  # between two questions
AGAIN_S = 0.2  # after one that was not answered
ANSWER_S = 1.0  # for an answer
BEGUN_S = 20.0  # for the node's process to begin, before anything is asked
HEARD_S = 5.0  # for a controller to hear that a host has left
SECOND_NS = 1_000_000_000

log = logging.getLogger("streamsr")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a host is, as long as its process runs; as HostReport has it."""

    name: str
    incarnation: int
    labels: Mapping[str, str]
    kind: str
    capacity: float
    gpus: int
    pid: int
    token: str = field(default="", repr=False)  # of its node's server


class ControllerLink(Protocol):
    """The way to the controller."""

    async def report(self, report: HostReport) -> Orders:
        """Raises an exception, whichever, where no answer comes."""

    async def is_down(self) -> bool:
        """Whether no controller runs at the moment, as one knows that starts it; False in doubt."""


class Host:
    """Keeps a node's process at what the controller says. ``run()`` it once, then ``stop()``."""

    def __init__(self, identity: Identity, link: ControllerLink, node: NodeProcess) -> None:
        self.draining = False  # it is about to leave
        self.frozen = False  # part of it is: others are to run its cameras until it goes on
        self.trial = Trial()  # of its machine
        self._identity = identity
        self._link = link
        self._node = node
        self._lease = HostLease()
        self._orders: Orders | None = None
        self._usage = CpuUsage()
        self._shares = HostShares(identity.capacity, identity.gpus)
        self._answered = True  # the newest question
        self._without: asyncio.Task[None] | None = None  # goes on without a controller
        self._had: dict[str, Assignment] = {}  # what the last report named

    async def run(self) -> None:
        """Reports until it is cancelled; the node's process runs beside."""
        running = asyncio.create_task(self._node.run(), name="node of the fleet")
        try:
            with suppress(TimeoutError):  # a camera that came earlier would wait for it as well
                await asyncio.wait_for(self._node.heard.wait(), BEGUN_S)
            while True:
                began_ns = now_ns()
                await self._ask()
                every_s = EVERY_S if self._answered else AGAIN_S
                await asyncio.sleep(max(0.0, every_s - (now_ns() - began_ns) / SECOND_NS))
        finally:
            if self._without is not None:
                self._without.cancel()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def stop(self, deadline: Deadline) -> None:
        """Ends the node's process by the deadline."""
        await self._node.stop(deadline)

    async def leave(self, within_s: float = HEARD_S) -> bool:
        """Says, once ``run`` has ended and the node's process with it, that nothing runs here any
        more: others need not wait for the end of its leases. Returns whether that was heard."""
        self.draining, self._orders = True, None
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not await self._tell_that_it_left():  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(AGAIN_S)
                return True
        return False

    async def _tell_that_it_left(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._link.report(self._report(self._lease.asks(_now_s())))
        except Exception:  # of whatever carries it, or the controller is starting
            return False
        return True

    async def _ask(self) -> None:
        sent = self._lease.asks(_now_s())
        try:
            async with asyncio.timeout(ANSWER_S):
                orders = await self._link.report(self._report(sent))
        except Exception as error:  # of whatever carries the question: it is asked again
            self._unanswered(redact(error) or type(error).__name__)
            return
        if not self._answered:
            log.info("fleet: the controller answers again")
        self._answered = True
        if self._lease.takes(sent, orders):
            self._orders = orders
            self._node.assign(orders.cameras, self._until_ns(), orders.groups)

    def _unanswered(self, why: str) -> None:
        """Goes on as long as nobody can give its cameras away: a controller that is not running
        cannot, and one that starts does not before a lease is over."""
        if self._answered:
            log.warning("fleet: the controller does not answer: %s", why)
        self._answered = False
        if self._without is None or self._without.done():
            self._without = asyncio.create_task(self._go_on_without(), name="no controller")

    async def _go_on_without(self) -> None:
        """Asks Ray, beside the controller, until that answers: Ray notices later that it ended."""
        while not self._answered:
            asked = _now_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    down = await self._link.is_down()
                    lease_s = self._orders.lease_s if self._orders is not None else 0.0
                    if down and self._lease.extend(asked, _now_s(), lease_s):
                        self._node.extend(self._until_ns())
            await asyncio.sleep(AGAIN_S)

    def _until_ns(self) -> int:
        return round(self._lease.until * SECOND_NS)

    def _report(self, sent: float) -> HostReport:
        identity = self._identity
        usage = self._usage.look(self._node.pid)
        takes = self._shares.of(usage, self._node.cameras)
        return HostReport(
            host=identity.name,
            incarnation=identity.incarnation,
            sent=sent,
            labels=identity.labels,
            kind=identity.kind,
            capacity=identity.capacity,
            load=takes.load,
            cameras=self._cameras(takes.by_camera),
            draining=self.draining or self.frozen,
            address=self._node.address,
            pid=identity.pid,
            token=identity.token,
            lease_s=self._orders.lease_s if self._orders is not None else 0.0,
            cold=not self._node.heard.is_set(),
            network_mpx=self.trial.network_mpx,
            path_mpx=self.trial.path_mpx,
        )

    def _cameras(self, takes: Mapping[str, float]) -> tuple[CameraReport, ...]:
        """Returns what it was told to run, and what has not ended of what it was told before."""
        running = self._node.cameras
        assigned = {camera.name: camera for camera in self._orders.cameras} if self._orders else {}
        may_run = self._had if self._node.is_behind else running
        had = {name: self._had[name] for name in may_run if name in self._had}
        self._had = had | assigned
        return tuple(
            _report_of(camera, running.get(name), takes.get(name, 0.0))
            for name, camera in self._had.items()
        )


def _report_of(camera: Assignment, running: RunningCamera | None, cost: float) -> CameraReport:
    if running is None:
        return CameraReport(camera.name, camera.epoch, StreamState.STARTING, rung=camera.rung)
    return CameraReport(camera.name, camera.epoch, running.state, running.reason, cost, camera.rung)


def _now_s() -> float:
    return now_ns() / SECOND_NS
