"""A gateway of a fleet on Ray: beside ``fleet run``, or by itself on any machine."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamsr.core.deadline import Deadline
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import FleetSettings
from streamsr.fleet.cluster.client import FleetClient
from streamsr.fleet.gateway.gateway import Gateway
from streamsr.fleet.messages import FleetStatus, HostAddress, Wanted

__all__ = ["RayFleetLink", "gateway_beside", "gateway_of"]


class RayFleetLink:
    """The way of a gateway to the controller: calls that block, in threads."""

    def __init__(self, fleet: FleetClient) -> None:
        self._fleet = fleet

    async def status(self) -> FleetStatus:
        return await asyncio.to_thread(self._fleet.status)

    async def addresses(self) -> tuple[HostAddress, ...]:
        return await asyncio.to_thread(self._fleet.addresses)

    async def wanted(self) -> Wanted:
        return await asyncio.to_thread(self._fleet.wanted)

    async def want(self, wanted: Wanted) -> int:
        return await asyncio.to_thread(self._fleet.want, wanted)


def gateway_of(settings: FleetSettings, fleet: FleetClient) -> Gateway:
    """Returns the gateway that the settings ask for. Raises ConfigError. Call it in its loop."""
    return Gateway(settings, RayFleetLink(fleet), logged_journal())


@contextmanager
def gateway_beside(
    settings: FleetSettings, fleet: FleetClient, listening: Callable[[str], None]
) -> Iterator[None]:
    """While entered, a gateway runs in a thread, where settings ask for one. Raises ConfigError."""
    if settings.serve is None and settings.mqtt is None:
        yield
        return
    runner = _Runner(settings, fleet, listening)
    runner.start()
    try:
        yield
    finally:
        runner.stop()


class _Runner:
    """The thread of a gateway, with a loop of its own."""

    def __init__(
        self, settings: FleetSettings, fleet: FleetClient, listening: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._listening = listening
        self._begun = threading.Event()
        self._error: Exception | None = None
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="streamsr-gateway", daemon=True)

    def start(self) -> None:
        """Returns once it serves. Raises what keeps it from that."""
        self._thread.start()
        self._begun.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._stop()
        self._thread.join(Deadline.after().left_s())

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # it is raised where the thread was started
            self._error = error
        self._begun.set()

    async def _serve(self) -> None:
        gateway, loop = gateway_of(self._settings, self._fleet), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(gateway.stop, Deadline.after())
        if self._settings.serve is None:
            self._begun.set()
        await gateway.run(self._serves)

    def _serves(self, url: str) -> None:
        self._listening(url)
        self._begun.set()
