"""A host's node, as the host sees it: a supervised process, its leases, and what it reported."""

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import Deadline
from streamsr.core.lease import LeaseFolder
from streamsr.core.status import StreamState
from streamsr.fleet.messages import Assignment
from streamsr.ipc.messages import Message, NodeReport, Quit, RunCameras, RunningCamera
from streamsr.ipc.process import HeartbeatLimits, SupervisedProcess

__all__ = ["NodeProcess"]

LIMITS = HeartbeatLimits(start_s=60.0, silence_s=5.0)
NOTHING = 0.0, 0.0  # that a camera takes
FIRST_S, LAST_S = 0.2, 5.0  # before a process is started again


class NodeProcess(SupervisedProcess):
    """Runs what it is assigned, in one process after another, as long as its leases last.

    Each process has a folder of leases of its own: what it leaves behind is granted nothing more.
    """

    def __init__(
        self,
        groups: Mapping[str, Any],
        folder: Path,
        tell: Callable[[str], None],
        limits: HeartbeatLimits = LIMITS,
    ) -> None:
        """``groups`` are those of its NodeSettings that are this host's; ``folder`` is for leases.

        ``tell`` is told why a process is gone.
        """
        super().__init__(
            "streamsr.fleet.host.program", limits=limits, backoff=Backoff(FIRST_S, LAST_S)
        )
        self.address = ""  # of its server
        self.heard = asyncio.Event()  # the process there is can run cameras at once
        self._reported: Mapping[str, RunningCamera] = {}  # as the process said
        self._unleased: dict[str, str] = {}  # why these may not be published
        self._own_groups = dict(groups)
        self._groups = json.dumps(self._own_groups)
        self._folder = folder
        self._tell = tell
        self._leases: LeaseFolder | None = None
        self._started = 0  # processes
        self._assigned: tuple[Assignment, ...] = ()
        self._until_ns = 0
        self._sent: RunCameras | None = None  # to the process there is
        self._followed = 0  # the number of the newest that the process follows

    @property
    def cameras(self) -> Mapping[str, RunningCamera]:
        """What it has not ended, as far as that is known."""
        unleased = self._unleased.items()
        down = {name: RunningCamera(name, StreamState.DOWN, why, NOTHING) for name, why in unleased}
        return {**self._reported, **down}

    @property
    def is_behind(self) -> bool:
        """Whether it may still run what it was told before."""
        return self._sent is not None and self._sent.number != self._followed

    def assign(
        self, cameras: tuple[Assignment, ...], until_ns: int, groups: Mapping[str, Any]
    ) -> None:
        """Has it run these cameras, which may be published until then, and no others.

        ``groups`` are those of its NodeSettings that all hosts have.
        """
        self._groups = json.dumps({**groups, **self._own_groups})
        before = {camera.name for camera in self._assigned}
        self._assigned, self._until_ns = cameras, until_ns
        if self._leases is not None:
            for name in before - {camera.name for camera in cameras}:
                self._leases.end(name)
        self._grant()
        self._send_cameras()

    def extend(self, until_ns: int) -> None:
        """Lets what it runs be published until then."""
        self._until_ns = until_ns
        self._grant()

    def let_go(self) -> None:
        """Ends what it runs at once, without waiting for that: nothing more may be published."""
        self._assigned = ()
        if self._leases is not None:
            self._leases.end_all()
            self._leases = None  # none is granted any more
        self.kill()

    async def send_input(self) -> None:
        self._started += 1
        self._leases = LeaseFolder.made(self._folder / str(self._started))
        self._grant()
        self._send_cameras()

    def handle(self, message: Message) -> None:
        if isinstance(message, NodeReport):
            self.heard.set()
            self.backoff.succeeded()
            self._reported = {camera.name: camera for camera in message.cameras}
            self._followed = message.followed
            self.address = message.address

    def finish(self, deadline: Deadline) -> None:
        self.send(Quit(deadline.left_s()))

    def failed(self, reason: str, delay_s: float) -> None:
        self._tell(f"the node's process: {reason}; another one is started")

    def ended(self) -> None:
        self.heard.clear()
        self._reported, self.address, self._sent, self._followed = {}, "", None, 0
        if self._leases is not None:
            self._leases.end_all()
            shutil.rmtree(self._leases.folder, ignore_errors=True)
            self._leases = None

    def _grant(self) -> None:
        before, self._unleased = self._unleased, {}
        if self._leases is None:
            return
        for camera in self._assigned:
            try:
                self._leases.grant(camera.name, self._until_ns)
            except OSError as error:
                why = f"its lease cannot be written: {error.strerror or error}"
                self._unleased[camera.name] = why
                if before.get(camera.name) != why:
                    self._tell(f"camera {camera.name}: {why}")

    def _send_cameras(self) -> None:
        if self._leases is None:
            return
        cameras = tuple(
            json.dumps({**camera.settings, "name": camera.name}) for camera in self._assigned
        )
        number = self._sent.number if self._sent is not None else 0
        wanted = RunCameras(self._groups, cameras, self._leases.folder, number)
        if wanted != self._sent:
            self._sent = replace(wanted, number=number + 1)
            self.send(self._sent)
