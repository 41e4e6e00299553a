"""A client at a real broker, for as long as a test needs it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from fake_node import FakeNode
from peers.mosquitto import HOST, Mosquitto
from subscriber import Subscriber

from streamsr.core.backoff import Backoff
from streamsr.core.deadline import Deadline
from streamsr.core.events import Event
from streamsr.core.events.journal import Journal
from streamsr.core.settings import MqttSettings
from streamsr.mqtt.client import MqttClient

__all__ = ["CANARY", "CONFIG", "ROOT", "YARD", "Running", "complete", "lag_below", "running"]

ROOT = "streamsr/node"
YARD = f"{ROOT}/yard"
CONFIG = "homeassistant/device/streamsr_node_yard/config"
CANARY = "p@ss/w%rd:#1"


class CountingBackoff(Backoff):
    """Waits a hundredth of what the client usually does, and counts the tries that failed."""

    def __init__(self) -> None:
        super().__init__(0.005, 0.03)
        self.failed = 0

    def next_s(self) -> float:
        self.failed += 1
        return super().next_s()


@dataclass(frozen=True, slots=True)
class Running:
    """A client, the events it had itself, and its failed tries to connect."""

    client: MqttClient
    events: list[Event]
    backoff: CountingBackoff
    task: asyncio.Task[None]


@asynccontextmanager
async def running(
    broker: Mosquitto | int, node: FakeNode, *, answer_s: float = 5.0, **changes: Any
) -> AsyncIterator[Running]:
    """A node's client at the broker, or at its port; stopped in the end."""
    port = broker if isinstance(broker, int) else broker.port
    settings = MqttSettings(host=HOST, port=port, interval_s=1.0, image_s=0.0)
    settings = settings.model_copy(update=changes)
    events: list[Event] = []

    journal = Journal()

    def emit(event: Event) -> None:
        events.append(event)
        journal(event)

    backoff = CountingBackoff()
    waits = {"answer_s": answer_s, "settle_s": 0.2}
    client = MqttClient(settings, "node", node, emit, backoff=backoff, **waits)
    journal.listeners.append(client.event)
    task = asyncio.create_task(client.run(), name="mqtt")
    try:
        yield Running(client, events, backoff, task)
    finally:
        await client.stop(Deadline.after(1.0))
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("mqtt")]


@asynccontextmanager
async def lag_below(limit_s: float = 1.0) -> AsyncIterator[None]:
    """Fails if the loop is ever late by more: one that waits for a broker is late by seconds."""
    late_s: list[float] = []

    async def measure() -> None:
        while True:
            began_s = monotonic()
            await asyncio.sleep(0.01)
            late_s.append(monotonic() - began_s - 0.01)

    task = asyncio.create_task(measure(), name="lag")
    try:
        yield
    finally:
        task.cancel()
    assert max(late_s) <= limit_s


def complete(subscriber: Subscriber, *names: str) -> Callable[[], bool]:
    """Whether all that a node retains at the broker has come, and is online."""
    topics = [f"{ROOT}/{name}/state" for name in names]
    topics += [f"homeassistant/device/streamsr_node_{name}/config" for name in names]

    def come() -> bool:
        online = subscriber.last.get(f"{ROOT}/availability") == b"online"
        return online and all(subscriber.last.get(topic) for topic in topics)

    return come
