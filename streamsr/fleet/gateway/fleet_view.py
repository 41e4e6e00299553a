"""What a gateway knows of the fleet: asked of its controller and its hosts once a second."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import ClientError

from streamsr.core.redact import redact
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.fleet.gateway.link import FleetLink
from streamsr.fleet.messages import (
    CameraStatus,
    FleetStatus,
    HostAddress,
    Wanted,
    WantedCamera,
)

__all__ = ["FleetView"]

EVERY_S = 1.0
ANSWER_S = 2.0  # for the controller, and for a host
LONGEST_S = 60.0  # that an answer of a host that has the camera may take

log = logging.getLogger(__name__)


class FleetView:
    """The fleet as it was up to a second ago. ``follow()`` it as long as it is read."""

    def __init__(self, link: FleetLink, client: HostClient) -> None:
        self.status = FleetStatus(0, (), ())
        self.wanted = Wanted(0, ())
        self.cameras: Mapping[str, WantedCamera] = {}  # of it, by name, in the file's order
        self.models: tuple[str, ...] = ()  # that a camera may have
        self.answers = False  # the controller does
        self._link = link
        self._client = client
        self._addresses: dict[str, HostAddress] = {}
        self._shown: dict[str, dict[str, Mapping[str, Any]]] = {}  # by host and camera, as its API
        # shows it
        self._placed: dict[str, CameraStatus] = {}
        self._refreshed = asyncio.Event()  # another one after each time

    @property
    def addresses(self) -> Mapping[str, HostAddress]:
        """Where the nodes of the hosts serve."""
        return self._addresses

    def placed(self, camera: str) -> CameraStatus | None:
        """Where the controller has a camera."""
        return self._placed.get(camera)

    def shown(self, camera: str) -> Mapping[str, Any] | None:
        """A camera as its host's API shows it, now or last; None where no host has it."""
        placed = self.placed(camera)
        return self._shown.get(placed.host, {}).get(camera) if placed is not None else None

    def host_of(self, camera: str) -> HostAddress | None:
        """The host that has a camera; None where none has it at the moment."""
        if camera not in self.cameras or self.shown(camera) is None:
            return None
        placed = self.placed(camera)
        return self._addresses.get(placed.host) if placed is not None else None

    async def await_host(self, camera: str, within_s: float) -> HostAddress | None:
        """Returns the host that has a camera as soon as one does; None where that takes longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while (host := self.host_of(camera)) is None and camera in self.cameras:
                    await self._refreshed.wait()
                return host
        return None

    @asynccontextmanager
    async def while_on(self, host: HostAddress, camera: str) -> AsyncIterator[asyncio.Timeout]:
        """In it, TimeoutError is raised once the host has the camera no more, as where it froze.

        The timeout that it gives can be taken back.
        """
        loop = asyncio.get_running_loop()

        async def watch(limit: asyncio.Timeout) -> None:
            while self.host_of(camera) == host:
                await self._refreshed.wait()
            if limit.when() is not None:
                limit.reschedule(loop.time())

        async with asyncio.timeout(LONGEST_S) as limit:
            watching = asyncio.create_task(watch(limit), name=f"the host of {camera}")
            try:
                yield limit
            finally:
                watching.cancel()

    async def follow(self) -> None:
        """Asks once a second, until it is cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(EVERY_S)

    async def refresh(self) -> None:
        """Asks the controller, then every host; who does not answer stays as it was."""
        try:
            async with asyncio.timeout(ANSWER_S):
                status, found = await asyncio.gather(self._link.status(), self._link.addresses())
                if status.version != self.wanted.version:
                    self._take(await self._link.wanted())
        except Exception as error:  # of whatever the link is made of: it is asked again
            if self.answers:
                log.warning("fleet: the controller does not answer: %s", redact(error))
            self.answers = False
        else:
            self.answers = True
            self.status = status
            self._placed = {camera.name: camera for camera in status.cameras}
            self._addresses = {address.host: address for address in found}
        await asyncio.gather(*(self._ask(address) for address in self._addresses.values()))
        for host in self._shown.keys() - self._addresses.keys():
            del self._shown[host]
        refreshed, self._refreshed = self._refreshed, asyncio.Event()
        refreshed.set()

    async def change(self, wanted: Wanted) -> None:
        """Has the fleet run this. Raises what the link does."""
        version = await self._link.want(wanted)
        self._take(Wanted(version, wanted.cameras, wanted.policy, wanted.groups))

    def _take(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.cameras = {camera.name: camera for camera in wanted.cameras}

    async def _ask(self, address: HostAddress) -> None:
        with suppress(ClientError, TimeoutError, ValueError, KeyError):
            async with asyncio.timeout(ANSWER_S):
                cameras = await self._client.get_json(address, "/api/v1/cameras")
                self._shown[address.host] = {c["name"]: c for c in cameras["cameras"]}
                if not self.models:
                    models = await self._client.get_json(address, "/api/v1/models")
                    self.models = tuple(models["models"])
