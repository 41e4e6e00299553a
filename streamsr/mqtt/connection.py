"""One connection to the broker, from CONNECT to its loss. Knows aiomqtt, as only mended.py does.

It holds back nothing and repeats nothing: what is sent and when to come again is for its owner.
"""

import logging
from collections.abc import Iterable

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from streamsr.core.settings import MqttSettings
from streamsr.mqtt.credentials import Access
from streamsr.mqtt.mended import MendedClient, Take
from streamsr.mqtt.messages import OFFLINE

__all__ = ["BrokerAuthError", "BrokerError", "Connection", "port_of"]

ANSWER_S = 5.0  # for the broker to take us in, once it is reached
_AUTH = {4, 5, 134, 135}  # of CONNACK in MQTT 3.1.1, and as paho translates them

# What goes wrong is raised; one line for each thing lost in a flood would be a flood of its own.
_silent = logging.getLogger(f"{__name__}.paho")
_silent.setLevel(logging.CRITICAL)


class BrokerError(Exception):
    """The broker is not reached, or is lost."""


class BrokerAuthError(BrokerError):
    """The broker refuses who we are."""


class Connection:
    """``open`` it once, and ``drop`` it in any case.

    ``take`` gets every message as it comes in, within the loop: it must be quick. The broker says
    "offline" on ``availability``, retained, when we are gone without a word.
    """

    def __init__(
        self, settings: MqttSettings, access: Access, name: str, availability: str, take: Take
    ) -> None:
        """``name`` is the client's: the broker drops an older connection of the same name, so
        that one that hangs half-open cannot announce our end later than our return."""
        self._patience_s = 2.0 * settings.keepalive_s  # for an answer; a broker is silent no longer
        self._client = MendedClient(
            take,
            settings.host,
            port_of(settings),
            identifier=name,
            username=settings.username,
            password=access.password,
            tls_context=access.tls,
            will=aiomqtt.Will(availability, OFFLINE, qos=1, retain=True),
            keepalive=settings.keepalive_s,
            timeout=ANSWER_S,
            logger=_silent,
        )

    async def open(self) -> None:
        """Connect. Raises BrokerError."""
        try:
            await self._client.reach()
            await self._client.__aenter__()
        except aiomqtt.MqttError as error:
            raise _in_our_words(error) from None
        self._client.timeout = self._patience_s

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Ask for ``topics``. Raises BrokerError."""
        try:
            await self._client.subscribe([(topic, 1) for topic in topics])
        except aiomqtt.MqttError as error:
            raise _in_our_words(error) from None

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Return when the broker has it (``qos`` 1) or the socket does. Raises BrokerError."""
        try:
            await self._client.publish(topic, payload, qos, retain)
        except aiomqtt.MqttError as error:
            raise _in_our_words(error) from None

    async def lost(self) -> None:
        """Wait for the loss, which raises BrokerError."""
        try:
            async for _ in self._client.messages:
                pass  # none comes here: they are handed on before
        except aiomqtt.MqttError as error:
            raise _in_our_words(error) from None

    async def close(self) -> None:
        """Take leave, so that the broker does not announce us dead. Raises BrokerError."""
        try:
            await self._client.__aexit__(None, None, None)
        except aiomqtt.MqttError as error:
            raise _in_our_words(error) from None

    async def drop(self) -> None:
        """Be rid of the connection, whatever state it is in, within a fifth of a second."""
        await self._client.drop()


def port_of(settings: MqttSettings) -> int:
    """The port that is set, or else the usual one."""
    return settings.port or (8883 if settings.tls else 1883)


def _in_our_words(error: aiomqtt.MqttError) -> BrokerError:
    reason = getattr(error, "rc", None)
    if isinstance(error, MqttConnectError) and getattr(reason, "value", reason) in _AUTH:
        return BrokerAuthError(str(error))
    return BrokerError(str(error.__cause__ or error))
