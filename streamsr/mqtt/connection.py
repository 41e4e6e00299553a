"""One connection to the broker, from CONNECT to its loss: aiomqtt's client, made robust.

It queues nothing and retries nothing: what to send, and when to connect again, its owner decides.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import aiomqtt
from aiomqtt import MqttError
from aiomqtt.exceptions import MqttConnectError
from aiomqtt.types import PahoSocket
from paho.mqtt import client as paho

from streamsr.core.settings import MqttSettings
from streamsr.core.waiting import in_thread, wait_set
from streamsr.mqtt.credentials import Credentials
from streamsr.mqtt.messages import OFFLINE
from streamsr.mqtt.topics import Topics

__all__ = ["BrokerAuthError", "Connection", "MqttError", "port_of"]

ANSWER_S = 5.0  # for the broker to accept a connection, once it is reached
CLOSE_S = 0.1  # for paho to notice the end of its socket
MAX_READS = 32  # messages read in one step of the loop
READ_PAUSE_S = 0.01  # after messages, for more to come: in a flood each wake-up costs time
_AUTH = {4, 5, 134, 135}  # of CONNACK in MQTT 3.1.1, and as paho translates them

# Errors are raised; a line of paho's for each message lost in a flood would be a flood of its own.
_silent = logging.getLogger(f"{__name__}.paho")
_silent.setLevel(logging.CRITICAL)

T = TypeVar("T")
Receive = Callable[[str, bytes, bool], None]  # topic, payload, whether the broker had retained it


class BrokerAuthError(MqttError):
    """The broker refuses the credentials."""


class Connection(aiomqtt.Client):
    """aiomqtt's client, for brokers that hang and clients that flood.

    ``open`` it once, and ``drop`` it in any case; ``subscribe`` and ``publish`` are aiomqtt's own.
    All raise MqttError. When it ends without ``close``, the broker publishes "offline",
    retained.

    aiomqtt connects in a thread of the loop's pool, for which the loop's end waits: up to 5 s where
    a broker hangs in TLS, longer for a name server. A connection that is cancelled meanwhile goes
    on unseen, and the broker takes it for ours. And each message costs a task and a step of the
    loop.
    """

    def __init__(
        self,
        settings: MqttSettings,
        credentials: Credentials,
        topics: Topics,
        receive: Receive,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        """``receive`` gets every message as it comes in, within the loop: it must be quick.

        The broker drops an older connection of the same identifier: the last will of one that
        hangs half-open cannot come after our return.
        """
        super().__init__(
            settings.host,
            port_of(settings),
            identifier=topics.root.replace("/", "-"),
            username=settings.username,
            password=credentials.password,
            tls_context=credentials.tls,
            will=aiomqtt.Will(topics.availability, OFFLINE, qos=1, retain=True),
            keepalive=settings.keepalive_s,
            timeout=answer_s,
            logger=_silent,
        )
        self._receive = receive
        self._received = 0  # messages
        self._answer_s = 2.0 * settings.keepalive_s  # no live broker takes longer to answer
        self._dropped = False
        self._closed = asyncio.Event()  # the socket is, which there was
        self._loop_thread = threading.get_ident()
        for outcome in (self._connected, self._disconnected):  # may fail while nobody waits
            outcome.add_done_callback(lambda o: o.cancelled() or o.exception())

    async def open(self) -> None:
        """Connects. Raises BrokerAuthError where the broker refuses the credentials."""
        try:
            await in_thread("mqtt", self._reach)
            await self.__aenter__()
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
            raise MqttError(str(error)) from None
        except MqttConnectError as error:
            if getattr(error.rc, "value", error.rc) in _AUTH:
                raise BrokerAuthError(str(error)) from None
            raise
        self.timeout = self._answer_s

    async def wait_lost(self) -> None:
        """Waits for the end of the connection, and raises it."""
        async for _ in self.messages:
            pass  # none comes here: ``receive`` gets them

    async def close(self) -> None:
        """Sends DISCONNECT, so that the broker publishes no last will."""
        await self.__aexit__(None, None, None)

    async def drop(self) -> None:
        """Closes the socket without DISCONNECT, whatever its state, within a tenth of a second.

        Only paho can close it, which stops watching it first.
        """
        self._dropped = True
        if self._connected.cancelled():  # while connecting, which aiomqtt does not expect
            self._connected = self._loop.create_future()
        if self._client.socket() is not None:
            self._cut()
            await wait_set(self._closed, CLOSE_S)

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109
        """Replaces aiomqtt's asyncio.wait_for, which in Python 3.11 swallows a cancellation that
        comes in the same step of the loop as the answer: the task would then never end."""
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise MqttError("no answer in time") from None

    def _reach(self) -> None:
        super()._client_connect()
        if self._dropped:
            self._cut()

    def _client_connect(self) -> None:
        """Does nothing in the pool's thread: ``open`` has connected."""

    def _cut(self) -> None:
        """Shuts the socket down, which paho then finds at its end."""
        connected = self._client.socket()
        if isinstance(connected, socket.socket):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        """Replaces aiomqtt's queue, whose iterator costs a task a message."""
        self._received += 1
        self._receive(message.topic, bytes(message.payload), bool(message.retain))

    def _on_socket_open(self, client: paho.Client, userdata: object, sock: PahoSocket) -> None:
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon_threadsafe(self._watch)  # in place of aiomqtt's own reader

    def _watch(self) -> None:
        connected = self._client.socket()
        if connected is not None:
            self._loop.add_reader(connected.fileno(), self._read)

    def _read(self) -> None:
        """Reads what has come, and pauses after messages."""
        before = self._received
        for _ in range(MAX_READS):
            last = self._received
            self._guard(self._client.loop_read)
            connected = self._client.socket()
            pending = isinstance(connected, ssl.SSLSocket) and connected.pending() > 0
            if self._received == last and not pending:
                break
        else:
            self._loop.call_soon(self._read)  # the loop cannot see what TLS has decoded already
            return
        if self._received > before and connected is not None:
            self._loop.remove_reader(connected.fileno())
            self._loop.call_later(READ_PAUSE_S, self._watch)

    def _on_socket_close(self, client: paho.Client, userdata: object, sock: PahoSocket) -> None:
        super()._on_socket_close(client, userdata, sock)
        self._closed.set()

    def _on_socket_register_write(
        self, client: paho.Client, userdata: object, sock: PahoSocket
    ) -> None:
        """Registers at once in the loop's thread: aiomqtt does it a step later, when the socket may
        be closed and its number another's, for which the loop would then be busy indefinitely."""
        if threading.get_ident() == self._loop_thread:
            self._loop.add_writer(sock.fileno(), self._guard, self._client.loop_write)
        else:
            super()._on_socket_register_write(client, userdata, sock)

    def _guard(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # as aiomqtt does: whatever it is, the connection is broken
            if not self._disconnected.done():
                self._disconnected.set_exception(error)


def port_of(settings: MqttSettings) -> int:
    """The port that is set, or else the usual one."""
    return settings.port or (8883 if settings.tls else 1883)
