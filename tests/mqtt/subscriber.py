"""Another client of the broker, such as Home Assistant: it remembers all that it receives."""

import asyncio
import json
from contextlib import suppress
from typing import Any, Self

import aiomqtt
from peers.mosquitto import HOST, Mosquitto

__all__ = ["Subscriber"]


class Subscriber:
    """Subscribed to everything while the ``async with`` lasts, or until the broker ends it."""

    def __init__(self, broker: Mosquitto, **tls: Any) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.last: dict[str, bytes] = {}  # by topic
        self._client = aiomqtt.Client(
            HOST, broker.port, username=broker.user, password=broker.password or None, **tls
        )
        self._receiving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        await self._client.subscribe("#", qos=1)
        self._receiving = asyncio.create_task(self._receive(), name="subscriber")
        return self

    async def __aexit__(self, *exc: Any) -> None:
        assert self._receiving is not None
        self._receiving.cancel()
        with suppress(asyncio.CancelledError, aiomqtt.MqttError):
            await self._receiving
        with suppress(aiomqtt.MqttError):
            await self._client.__aexit__(None, None, None)

    async def publish(
        self, topic: str, payload: bytes | str = b"", *, retain: bool = False
    ) -> None:
        await self._client.publish(topic, payload, qos=1, retain=retain)

    def json(self, topic: str) -> Any:
        """The last payload of a topic; {} before there is one."""
        return json.loads(self.last.get(topic) or b"{}", parse_constant=_refuse)

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for received, payload in self.received if received == topic]

    def events(self, topic: str, code: str) -> list[dict[str, str]]:
        found = [json.loads(payload) for payload in self.payloads(topic)]
        return [event for event in found if event["code"] == code]

    async def _receive(self) -> None:
        async for message in self._client.messages:
            self.received.append((message.topic.value, bytes(message.payload)))
            self.last[message.topic.value] = bytes(message.payload)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
