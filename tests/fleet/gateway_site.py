"""A whole fleet in one process, without Ray: a controller, hosts with real nodes, a gateway."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from streamsr.core.config import parse
from streamsr.core.deadline import Deadline
from streamsr.core.events.journal import Journal
from streamsr.core.settings import FleetSettings
from streamsr.fleet.controller import Controller
from streamsr.fleet.gateway.gateway import Gateway
from streamsr.fleet.host.host import Host, Identity
from streamsr.fleet.host.node_process import NodeProcess
from streamsr.fleet.host.serving import Serving
from streamsr.fleet.messages import (
    CameraStatus,
    FleetStatus,
    HostAddress,
    HostReport,
    Orders,
    Wanted,
)
from streamsr.fleet.wanted import successor, wanted_of

__all__ = ["FleetSite", "running_site"]


class FleetSite:
    """The controller, as hosts and the gateway reach it, and who is there."""

    def __init__(self, settings: FleetSettings, folder: Path) -> None:
        self.settings = settings
        self.controller = Controller(wanted_of(settings, 1), time.monotonic())
        self.url = ""  # of the gateway's page
        self.gateway = Gateway(settings, self, Journal())
        self.hosts: dict[str, NodeProcess] = {}
        self.meanwhile: list[Callable[[], object]] = []  # happens before what is wanted arrives
        self._folder = folder

    async def report(self, report: HostReport) -> Orders:
        return self.controller.report(report, time.monotonic())

    async def is_down(self) -> bool:
        return False

    async def status(self) -> FleetStatus:
        return self.controller.status(time.monotonic())

    async def addresses(self) -> tuple[HostAddress, ...]:
        return self.controller.addresses(time.monotonic())

    async def wanted(self) -> Wanted:
        return self.controller.wanted

    async def want(self, wanted: Wanted) -> int:
        while self.meanwhile:  # what others change before this arrives
            self.meanwhile.pop()()
        newest = successor(wanted, self.controller.wanted)
        self.controller.want(newest, time.monotonic())
        return newest.version

    def camera(self, name: str) -> CameraStatus:
        """How the controller has a camera."""
        cameras = self.controller.status(time.monotonic()).cameras
        return next(camera for camera in cameras if camera.name == name)

    @asynccontextmanager
    async def host(self, name: str) -> AsyncIterator[NodeProcess]:
        """A host with a node in a process of its own."""
        folder = self._folder / name
        serving = Serving.begun("127.0.0.1", folder)
        node = NodeProcess({"name": name, **serving.groups}, folder / "leases", print)
        identity = Identity(
            name, time.time_ns(), {}, "a machine", 4000.0, 0, os.getpid(), serving.token
        )
        host = Host(identity, self, node)
        task = asyncio.create_task(host.run())
        self.hosts[name] = node
        try:
            yield node
        finally:
            await host.stop(Deadline.after())
            task.cancel()
            await asyncio.wait({task})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The gateway, with the controller's clock."""
        listening = asyncio.Event()

        def listens(url: str) -> None:
            self.url = url
            listening.set()

        running = asyncio.create_task(self.gateway.run(listens))
        ticking = asyncio.create_task(self._tick())
        try:
            if self.settings.serve is not None:
                await asyncio.wait(
                    {running, asyncio.create_task(listening.wait())},
                    return_when=asyncio.FIRST_COMPLETED,
                )
            yield
        finally:
            ticking.cancel()
            self.gateway.stop(Deadline.after())
            await running

    async def _tick(self) -> None:
        while True:
            self.controller.tick(time.monotonic())
            await asyncio.sleep(0.5)


@asynccontextmanager
async def running_site(
    folder: Path, *hosts: str, **groups: Any
) -> AsyncIterator[tuple[FleetSite, ClientSession]]:
    """A fleet with these hosts, and a client of its gateway's page."""
    data = {"serve": {"listen": "127.0.0.1:0"}} | groups
    site = FleetSite(parse(data, FleetSettings, "here"), folder)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(site.serving())
        for host in hosts:
            await stack.enter_async_context(site.host(host))
        session = ClientSession(base_url=site.url or None)
        yield site, await stack.enter_async_context(session)
