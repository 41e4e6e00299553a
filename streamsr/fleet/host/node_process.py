"""A host's node, as the host sees it: a supervised process, its leases, and what it reported."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import Deadline
from streamsr.core.lease import LeaseFolder
from streamsr.fleet.messages import Assignment
from streamsr.ipc.messages import Message, NodeReport, Quit, RunCameras, RunningCamera
from streamsr.ipc.process import HeartbeatLimits, SupervisedProcess

__all__ = ["NodeProcess"]

LIMITS = HeartbeatLimits(start_s=30.0, silence_s=5.0)
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
        """``groups`` are those of its NodeSettings, but for streams; ``folder`` is for leases.

        ``tell`` is told why a process is gone.
        """
        super().__init__(
            "streamsr.fleet.host.program", limits=limits, backoff=Backoff(FIRST_S, LAST_S)
        )
        self.address = ""  # of its server
        self.cameras: Mapping[str, RunningCamera] = {}  # that it has not ended
        self._groups = json.dumps(dict(groups))
        self._folder = folder
        self._tell = tell
        self._leases: LeaseFolder | None = None
        self._started = 0  # processes
        self._assigned: tuple[Assignment, ...] = ()
        self._until_ns = 0
        self._sent: RunCameras | None = None  # to the process there is

    def assign(self, cameras: tuple[Assignment, ...], until_ns: int) -> None:
        """Has it run these cameras, which may be published until then, and no others."""
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

    async def send_input(self) -> None:
        self._started += 1
        self._leases = LeaseFolder.made(self._folder / str(self._started))
        self._grant()
        self._send_cameras()

    def handle(self, message: Message) -> None:
        if isinstance(message, NodeReport):
            self.backoff.succeeded()
            self.cameras = {camera.name: camera for camera in message.cameras}
            self.address = message.address

    def finish(self, deadline: Deadline) -> None:
        self.send(Quit(deadline.left_s()))

    def failed(self, reason: str, delay_s: float) -> None:
        self._tell(f"the node's process: {reason}; another one is started")

    def ended(self) -> None:
        self.cameras, self.address, self._sent = {}, "", None
        if self._leases is not None:
            self._leases.end_all()
            shutil.rmtree(self._leases.folder, ignore_errors=True)
            self._leases = None

    def _grant(self) -> None:
        if self._leases is not None:
            for camera in self._assigned:
                self._leases.grant(camera.name, self._until_ns)

    def _send_cameras(self) -> None:
        if self._leases is None:
            return
        cameras = tuple(
            json.dumps({**camera.settings, "name": camera.name}) for camera in self._assigned
        )
        wanted = RunCameras(self._groups, cameras, self._leases.folder)
        if wanted != self._sent:
            self._sent = wanted
            self.send(wanted)
