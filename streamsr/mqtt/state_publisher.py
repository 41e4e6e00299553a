"""What a node says: kept true at the broker while there is one, and never piled up without.

State is made anew from what is true; of events the newest few wait; metrics that nobody takes are
not sent later.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from streamsr.core.events import Event
from streamsr.core.settings import MqttSettings
from streamsr.mqtt.event_queue import EventQueue
from streamsr.mqtt.homeassistant import device_config
from streamsr.mqtt.messages import ONLINE, event_json, metrics_json, state_json
from streamsr.mqtt.node_api import CameraState
from streamsr.mqtt.retained_cache import RetainedCache
from streamsr.mqtt.sight import NodeSnapshot
from streamsr.mqtt.topics import About, Heard, Topics

__all__ = ["Publisher", "Sender"]

POLL_S = 0.5  # between looks at what the node does
PAUSE_S = 0.05  # between two rounds of sending, however much changes
DISCOVER_S = 5.0  # between answers to Home Assistant's starts


class Sender(Protocol):
    """Where messages go."""

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Return when the message has gone (``qos`` 0) or arrived (``qos`` 1)."""


class Publisher:
    """Publishes what is in ``sight``: ``begin`` a connection, then ``run`` as long as it lasts."""

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        sight: NodeSnapshot,
        snapshots: dict[str, bytes],
    ) -> None:
        """``snapshots`` holds each camera's newest JPEG, put there by another."""
        self._settings = settings
        self._topics = topics
        self._sight = sight
        self._snapshots = snapshots
        self._board = RetainedCache()
        self._notices = EventQueue()
        self._changed = asyncio.Event()
        self._reborn = False  # Home Assistant has started: it is to be told of all again
        self._discovered_s = float("-inf")  # when it was told last

    def event(self, event: Event) -> None:
        """Have an event sent soon, or when the broker is back."""
        if self._notices.add(event, monotonic(), datetime.now(UTC)):
            self._changed.set()

    def changed(self) -> None:
        """Look at the node now, and not at the end of half a second."""
        self._changed.set()

    def begin(self) -> None:
        """A new connection, on which nothing has been sent or heard."""
        self._sight.look()
        self._board.forget()

    def heard(self, heard: Heard, topic: str, payload: bytes, retained: bool) -> None:
        """Take what the broker says of our own topics, and of Home Assistant."""
        if heard.about is About.BIRTH:
            self._reborn = self._reborn or payload == ONLINE
        elif not retained:
            self._board.keeps(topic, payload)  # our own messages come back too
        elif heard.about is About.STATE and heard.camera not in self._sight.cameras:
            self._board.found(self._topics.retained(heard.camera))

    async def run(self, sender: Sender) -> None:
        """Send what is new until cancelled, or until ``sender`` raises."""
        measure_s = monotonic()
        while True:
            self._changed.clear()
            self._sight.look()
            await self._settle(sender)
            await self._tell(sender)
            if monotonic() >= measure_s:
                measure_s = monotonic() + self._settings.interval_s
                await self._measure(sender)
            await asyncio.sleep(PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(POLL_S, max(0.0, measure_s - monotonic()))):
                    await self._changed.wait()

    async def _settle(self, sender: Sender) -> None:
        """Have the broker keep what is true."""
        if self._reborn and monotonic() - self._discovered_s >= DISCOVER_S:
            self._reborn, self._discovered_s = False, monotonic()
            self._board.doubt(self._topics.discovery(name) for name in self._sight.cameras)
        for topic, payload in self._board.differences(self._truth()):
            await sender.publish(topic, payload, qos=1, retain=True)
            self._board.keeps(topic, payload)

    def _truth(self) -> dict[str, bytes]:
        """What the broker should keep, by topic: availability after what it promises."""
        topics, cameras = self._topics, self._sight.cameras
        truth = {topics.state(name): state_json(camera) for name, camera in cameras.items()}
        if self._settings.discovery:
            for name, camera in cameras.items():
                truth[topics.discovery(name)] = _discovery(topics, name, camera, self._sight.models)
        truth[topics.availability] = ONLINE
        for name in self._snapshots.keys() - cameras.keys():
            del self._snapshots[name]
        return truth | {topics.snapshot(name): jpeg for name, jpeg in self._snapshots.items()}

    async def _tell(self, sender: Sender) -> None:
        """Send the events that wait. One whose arrival is unknown is sent again."""
        while (notice := self._notices.first()) is not None:
            event = notice.event
            topic = self._topics.event(
                event.stream if event.stream in self._sight.cameras else None
            )
            await sender.publish(topic, event_json(event, notice.when), qos=1, retain=False)
            self._notices.done(notice)

    async def _measure(self, sender: Sender) -> None:
        for name, camera in self._sight.cameras.items():
            payload = metrics_json(camera.status)
            await sender.publish(self._topics.metrics(name), payload, qos=0, retain=False)


def _discovery(topics: Topics, name: str, camera: CameraState, models: tuple[str, ...]) -> bytes:
    wanted = camera.status.wanted or camera.status.model
    # an option that is not offered would be an error there, though a folder's path is none of ours
    options = models if wanted in models or not wanted else (*models, wanted)
    return device_config(topics, name, options, camera.recording is not None)
