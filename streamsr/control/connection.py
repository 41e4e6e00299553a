"""One connection to the broker, from CONNECT to its loss. The only module that knows aiomqtt.

It holds back nothing and repeats nothing: what is sent and when to come again is for its owner.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import aiomqtt

from streamsr.control.access import Access
from streamsr.control.messages import OFFLINE
from streamsr.settings import MqttSettings
from streamsr.threads import in_thread

__all__ = ["BrokerAuthError", "BrokerError", "Connection", "port_of"]

ANSWER_S = 5.0  # for the broker to take us in, once it is reached
BATCH = 64
BURST, CALM_PER_S = 20, 100.0
GATHER_S = 0.02
FLUSH_S = 0.1  # for a socket to take the last words
_AUTH = {4, 5, 134, 135}  # of CONNACK in MQTT 3.1.1, and as paho translates them

Take = Callable[[str, bytes, bool], None]  # topic, payload, whether the broker had it in store

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
        self._client = _Client(
            settings.host,
            port_of(settings),
            identifier=name,
            username=settings.username,
            password=access.password,
            tls_context=access.tls,
            will=aiomqtt.Will(availability, OFFLINE, qos=1, retain=True),
            keepalive=settings.keepalive_s,
            timeout=ANSWER_S,
            queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", partial(_HandedOn, take)),
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


class _HandedOn(asyncio.Queue[aiomqtt.Message]):
    """In the place of aiomqtt's queue: a task a message, as its iterator makes, is too dear."""

    def __init__(self, take: Take, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._take = take
        self.taken = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self.taken += 1
        self._take(item.topic.value, bytes(item.payload), bool(item.retain))


class _Client(aiomqtt.Client):
    """aiomqtt's client, connected in a thread of its own and dropped on demand.

    aiomqtt connects in a thread of the loop's pool. The loop's end waits for these, up to 5 s for
    a broker that hangs in TLS and longer for a name server. One that is left in the middle of
    connecting goes on as a ghost that the broker takes for us.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dropped = False
        self._level = 0.0
        self._read_s = 0.0
        self._closed = asyncio.Event()  # the socket is, which there was
        self._loop_thread = threading.get_ident()
        for outcome in (self._connected, self._disconnected):  # may fail while nobody waits
            outcome.add_done_callback(lambda o: o.cancelled() or o.exception())

    async def reach(self) -> None:
        """Open the socket and send CONNECT. Raises MqttError."""
        try:
            await in_thread("mqtt", self._reach)
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
            raise aiomqtt.MqttError(str(error)) from None

    async def drop(self) -> None:
        """Close the socket: by DISCONNECT if the broker's end has room for it, or else like that.

        Only paho can close it, which stops watching it first.
        """
        self._dropped = True
        if self._connected.cancelled():  # we were stopped meanwhile, which aiomqtt doesn't expect
            self._connected = self._loop.create_future()
        for end in (self._client.disconnect, self._cut):
            if self._client.socket() is None:
                return
            end()
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._closed.wait()

    def _reach(self) -> None:
        super()._client_connect()
        if self._dropped:
            self._cut()

    def _client_connect(self) -> None:
        """What aiomqtt does in the pool's thread: nothing, it is done."""

    def _cut(self) -> None:
        """Have paho find the end of the socket."""
        connected = self._client.socket()
        if isinstance(connected, socket.socket):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon_threadsafe(self._listen)  # in the place of what that listens with

    def _taken(self) -> int:
        return self._queue.taken

    def _listen(self) -> None:
        connected = self._client.socket()
        if connected is not None:
            self._loop.add_reader(connected.fileno(), self._read)

    def _read(self) -> None:
        """Take what there is; in a flood, wait a moment then, so as not to wake for each drop."""
        before = self._taken()
        for _ in range(BATCH):
            last = self._taken()
            self._guarded(self._client.loop_read)
            if self._taken() == last:
                break
        else:
            self._loop.call_soon(self._read)  # TLS may hold more that the socket doesn't know of
            return
        now_s = self._loop.time()
        self._level = max(0.0, self._level - CALM_PER_S * (now_s - self._read_s)) 
        self._level = min(2.0 * BURST, self._level + self._taken() - before)
        self._read_s = now_s
        connected = self._client.socket()
        if self._level > BURST and connected is not None:
            self._loop.remove_reader(connected.fileno())
            self._loop.call_later(GATHER_S, self._listen)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        super()._on_socket_close(client, userdata, sock)
        self._closed.set()

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        """At once, in the loop's thread: aiomqtt does it a turn later, when the socket may be
        closed, its number another's, and the loop would be busy with that one for good."""
        if threading.get_ident() == self._loop_thread:
            self._loop.add_writer(sock.fileno(), self._write)
        else:
            super()._on_socket_register_write(client, userdata, sock)

    def _write(self) -> None:
        self._guarded(self._client.loop_write)

    def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:  # as aiomqtt does: whatever it is, the connection is no more
            if not self._disconnected.done():
                self._disconnected.set_exception(error)


def port_of(settings: MqttSettings) -> int:
    """The port that is set, or else the usual one."""
    return settings.port or (8883 if settings.tls else 1883)


def _in_our_words(error: aiomqtt.MqttError) -> BrokerError:
    code = getattr(error, "rc", None)
    if isinstance(error, aiomqtt.MqttCodeError) and getattr(code, "value", code) in _AUTH:
        return BrokerAuthError(str(error))
    return BrokerError(str(error.__cause__ or error))
