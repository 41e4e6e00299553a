"""Another client of the broker, such as Home Assistant: it remembers all that it hears."""

import asyncio
import json
from contextlib import suppress
from typing import Any, Self

import aiomqtt
from peers.mosquitto import HOST, Mosquitto

__all__ = ["Watcher"]


class Watcher:
    """Subscribed to everything while the ``async with`` lasts; a broker that goes ends it."""

    def __init__(self, broker: Mosquitto, **tls: Any) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.last: dict[str, bytes] = {}  # by topic
        self._client = aiomqtt.Client(
            HOST, broker.port, username=broker.user, password=broker.password or None, **tls
        )
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        await self._client.subscribe("#", qos=1)
        self._listening = asyncio.create_task(self._listen(), name="watcher")
        return self

    async def __aexit__(self, *exc: Any) -> None:
        assert self._listening is not None
        self._listening.cancel()
        with suppress(asyncio.CancelledError, aiomqtt.MqttError):
            await self._listening
        with suppress(aiomqtt.MqttError):
            await self._client.__aexit__(None, None, None)

    async def say(self, topic: str, payload: bytes | str = b"", *, retain: bool = False) -> None:
        await self._client.publish(topic, payload, qos=1, retain=retain)

    def json(self, topic: str) -> Any:
        """The last payload of a topic; {} before there is one."""
        return json.loads(self.last.get(topic) or b"{}", parse_constant=_none_such)

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for heard, payload in self.heard if heard == topic]

    def events(self, topic: str, code: str) -> list[dict[str, str]]:
        found = [json.loads(payload) for payload in self.payloads(topic)]
        return [event for event in found if event["code"] == code]

    async def _listen(self) -> None:
        async for message in self._client.messages:
            self.heard.append((message.topic.value, bytes(message.payload)))
            self.last[message.topic.value] = bytes(message.payload)


def _none_such(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
