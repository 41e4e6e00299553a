"""The node's state as the broker is kept to it, its events and its metrics.

Nothing piles up while the broker is away: state is read again from the node, of each subject's
changes the newest wait, and metrics are not sent later.
"""

import asyncio
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from streamsr.control.node_api import CameraState
from streamsr.core.events import Event
from streamsr.core.settings import MqttSettings
from streamsr.core.waiting import wait_set
from streamsr.mqtt.event_queue import EventQueue
from streamsr.mqtt.homeassistant import DiscoveredCamera, discovery_messages
from streamsr.mqtt.images import FreeSpace
from streamsr.mqtt.messages import (
    AUTO,
    ONLINE,
    addresses_json,
    event_json,
    metrics_json,
    state_json,
)
from streamsr.mqtt.node_snapshot import NodeSnapshot
from streamsr.mqtt.retained_cache import RetainedCache
from streamsr.mqtt.topics import ParsedTopic, TopicKind, Topics

__all__ = ["SETTLE_S", "Sender", "StatePublisher"]

POLL_S = 0.5  # between two refreshes of the node's state
PAUSE_S = 0.05  # between two rounds of sending, however much changes
SETTLE_S = 4.0  # that other clients get to come back to a broker, before what waited is told
DISCOVERY_S = 5.0  # between two answers to Home Assistant's starts


class Sender(Protocol):
    """Where messages go."""

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Returns when the message has gone (``qos`` 0) or arrived (``qos`` 1)."""

    async def subscribe(self, topic: list[tuple[str, int]]) -> object:
        """Has what is published to the topics received, each with its ``qos``."""


class StatePublisher:
    """Publishes a node's snapshot: ``reset`` it for a connection, then ``run`` while that lasts."""

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        snapshot: NodeSnapshot,
        *,
        poll_s: float = POLL_S,
        discovery_s: float = DISCOVERY_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._snapshot = snapshot
        self._poll_s = poll_s
        self._discovery_s = discovery_s
        self._settle_s = settle_s
        self._tell_s = 0.0  # monotonic: from when on events are sent
        self._retained = RetainedCache()
        self._events = EventQueue()
        self._free = FreeSpace()
        self._changed = asyncio.Event()
        self._gone: set[str] = set()  # cameras of which the broker retains something
        self._searched: set[str] = set()  # cameras whose entities' messages were asked for
        self._outputs: dict[str, dict[str, None]] = {}  # by camera: the names there were, in order
        self._born = False  # Home Assistant has started: it needs all discovery messages again
        self._discovered_s = float("-inf")  # when it was last sent them for that

    def event(self, event: Event) -> None:
        """Sends a change soon, or when the broker is back: then the newest of each kind."""
        self._events.add(event, datetime.now(UTC))
        self._changed.set()

    def changed(self) -> None:
        """Refreshes the node's state now, and not after half a second."""
        self._changed.set()

    def reset(self) -> None:
        """Prepares for a new connection, on which nothing has been sent or received."""
        self._snapshot.refresh()
        if self._events.first() is not None:
            self._tell_s = monotonic() + self._settle_s
        self._retained.clear()
        self._gone.clear()
        self._searched.clear()

    def receive(self, parsed: ParsedTopic, topic: str, payload: bytes, retained: bool) -> None:
        """Handles a message on one of our own topics, or from Home Assistant."""
        if parsed.kind is TopicKind.BIRTH:
            self._born = self._born or payload == ONLINE
        elif not retained:
            self._retained.set(topic, payload)  # our own messages come back too
        elif parsed.kind is TopicKind.DISCOVERY:
            if topic not in self._discovered():  # of the other form, or an earlier run
                self._retained.invalidate([topic])
        elif parsed.kind is TopicKind.STATE and parsed.camera not in self._snapshot.cameras:
            self._retained.invalidate(self._topics.retained(parsed.camera))
            self._gone.add(parsed.camera)

    async def run(self, sender: Sender) -> None:
        """Sends what is new until cancelled. Raises what ``sender`` raises."""
        metrics_s = monotonic()
        while True:
            self._changed.clear()
            self._snapshot.refresh()
            await self._send_state(sender)
            await self._send_events(sender)
            if monotonic() >= metrics_s:
                metrics_s = monotonic() + self._settings.interval_s
                await self._send_metrics(sender)
            await asyncio.sleep(PAUSE_S)
            await wait_set(self._changed, min(self._poll_s, max(0.0, metrics_s - monotonic())))

    async def _send_state(self, sender: Sender) -> None:
        if self._born and monotonic() - self._discovered_s >= self._discovery_s:
            self._born, self._discovered_s = False, monotonic()
            self._retained.invalidate(self._discovered())
        await self._search(sender)
        for topic, payload in self._retained.reconcile(self._wanted()):
            await sender.publish(topic, payload, qos=1, retain=True)
            self._retained.set(topic, payload)

    def _wanted(self) -> dict[str, bytes]:
        """What the broker should retain, by topic: availability after what it stands for."""
        topics, cameras = self._topics, self._snapshot.cameras
        wanted = {topics.state(name): state_json(camera) for name, camera in cameras.items()}
        wanted |= self._discovered()
        if page_url := self._page_url:
            wanted |= {topics.addresses(n): addresses_json(page_url, n) for n in cameras}
        wanted[topics.availability] = ONLINE
        return wanted | {topics.snapshot(n): jpeg for n, jpeg in self._snapshot.jpegs.items()}

    @property
    def _page_url(self) -> str:
        return (self._settings.page_url or "").rstrip("/")

    def _discovered(self) -> dict[str, bytes]:
        """What Home Assistant should find, by topic."""
        found: dict[str, bytes] = {}
        cameras = self._snapshot.cameras
        self._outputs = {name: names for name, names in self._outputs.items() if name in cameras}
        if self._settings.discovery:
            for name, camera in cameras.items():
                discovered = self._discovered_camera(name, camera)
                form = self._settings.discovery_form
                found |= discovery_messages(self._topics, discovered, form)
        return found

    def _discovered_camera(self, name: str, camera: CameraState) -> DiscoveredCamera:
        models = self._snapshot.models
        wanted = camera.status.wanted or camera.status.model
        outputs = self._outputs.setdefault(name, {})
        outputs.update(dict.fromkeys(camera.outputs))  # a recorder stays, while it does not record
        # Home Assistant rejects a selected model that is not offered, as one named by its folder
        options = models if wanted in models or not wanted else (*models, wanted)
        size, recorder = camera.size or AUTO, camera.recording is not None
        return DiscoveredCamera(name, options, size, recorder, tuple(outputs), self._page_url)

    async def _search(self, sender: Sender) -> None:
        """Asks for what is retained of cameras' entities: it is cleared where it is not ours."""
        if not self._settings.discovery:
            return
        for name in sorted((self._gone | self._snapshot.cameras.keys()) - self._searched):
            self._searched.add(name)
            self._retained.invalidate([self._topics.discovery(name)])
            await sender.subscribe([(self._topics.component("+", name, "+"), 1)])

    async def _send_events(self, sender: Sender) -> None:
        """Sends the events that wait. One whose arrival is unknown is sent again.

        What waited for the broker goes to whoever listens, once: not before they are back, too.
        """
        if monotonic() < self._tell_s:
            return
        while (queued := self._events.first()) is not None:
            stream = queued.event.stream
            topic = self._topics.event(stream if stream in self._snapshot.cameras else None)
            await sender.publish(topic, event_json(queued), qos=1, retain=False)
            self._events.remove(queued)

    async def _send_metrics(self, sender: Sender) -> None:
        for name, camera in self._snapshot.cameras.items():
            payload = metrics_json(camera.status, self._free.of(camera.folder))
            await sender.publish(self._topics.metrics(name), payload, qos=0, retain=False)
