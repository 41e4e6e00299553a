"""The gateway of a fleet: a node's web server and MQTT client, of all cameras there are."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from streamsr.core.deadline import Deadline
from streamsr.core.errors import ConfigError
from streamsr.core.events import Event
from streamsr.core.events.journal import Journal
from streamsr.core.settings import FleetSettings
from streamsr.fleet.gateway.fleet_node import FleetNode
from streamsr.fleet.gateway.fleet_view import FleetView
from streamsr.fleet.gateway.forwarding import Forwarding
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.fleet.gateway.host_events import HostEvents
from streamsr.fleet.gateway.link import FleetLink
from streamsr.fleet.gateway.metrics import FleetMetrics
from streamsr.mqtt.client import MqttClient
from streamsr.serve.access.access import Access
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.app import Server

__all__ = ["Gateway"]


class Gateway:
    """Shows and steers a fleet. ``run()`` it once. There may be several, on any machines."""

    def __init__(self, settings: FleetSettings, link: FleetLink, journal: Journal) -> None:
        """``settings`` say how it serves, and by which broker it is steered.

        Raises ConfigError where neither is there, or something of them cannot be read.
        """
        if settings.serve is None and settings.mqtt is None:
            raise ConfigError("gateway: the file has neither [serve] nor [mqtt]: it needs one")
        self._journal = journal
        self._client = HostClient()
        self.view = FleetView(link, self._client)
        self.node = FleetNode(settings.name, self.view, self._client)
        self._server = self._web_server(settings)
        self._mqtt: MqttClient | None = None
        if settings.mqtt is not None:
            self._mqtt = MqttClient(settings.mqtt, settings.name, self.node, journal)
            journal.listeners.append(self._mqtt.event)
        self._events = HostEvents(self.view, self._client, self._tell)
        self._stopping = asyncio.Event()
        self._deadline: Deadline | None = None

    def _tell(self, event: Event) -> None:
        """Hands an event of a host on, which has counted it."""
        for listener in self._journal.listeners:
            listener(event)

    def _web_server(self, settings: FleetSettings) -> Server | None:
        if settings.serve is None:
            return None
        access = Access.of(settings.serve)
        server = Server(
            self.node.served,
            host=settings.serve.host,
            port=settings.serve.port,
            access=access,
            limits=ServerLimits(viewers=settings.serve.max_viewers),
            events=lambda: self._journal.counts,
            emit=self._journal,
            webrtc=settings.webrtc,
            prefer=settings.serve.prefer,
            node=self.node,
            answered_elsewhere=(
                FleetMetrics(self.view, self._client, access).middleware,
                Forwarding(self.view, self._client, access).middleware,
            ),
        )
        self._journal.listeners.append(server.feed.event)
        return server

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serves until ``stop()``. ``listening`` is told the page's address once it answers.

        Raises ConfigError where that cannot be listened on.
        """
        async with self._client:
            await self.view.refresh()
            if self._server is not None:
                await self._server.__aenter__()
                listening(self._server.url)
            tasks = [
                asyncio.create_task(self.view.follow(), name="fleet"),
                asyncio.create_task(self._events.follow(), name="events of hosts"),
                asyncio.create_task(self._journal.run(), name="journal"),
            ]
            steering = asyncio.create_task(self._mqtt.run(), name="mqtt") if self._mqtt else None
            try:
                await self._stopping.wait()
            finally:
                deadline = self._deadline or Deadline.after()
                if self._server is not None:
                    await self._server.close(deadline)
                if self._mqtt is not None and steering is not None:
                    await self._mqtt.stop(deadline)
                    tasks.append(steering)
                for task in tasks:
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait(tasks)

    def stop(self, deadline: Deadline) -> None:
        """Ends by the deadline; ``run`` returns. Cameras run on."""
        self._deadline = deadline
        self._stopping.set()
