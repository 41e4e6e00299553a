"""aiomqtt's client, mended for months among brokers that hang and clients that shout.

aiomqtt connects in a thread of the loop's pool, for which the loop's end waits: up to 5 s where a
broker hangs in TLS, longer for a name server. One that is left in the middle of connecting goes on
as a ghost that the broker takes for us. And each message costs a task and a turn of the loop.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import aiomqtt

from streamsr.core.threads import in_thread
from streamsr.mqtt.pace import Pace

__all__ = ["MendedClient", "Take"]

BATCH = 32  # messages that are taken in one turn of the loop
GATHER_S = 0.02  # between two turns in a flood
FLUSH_S = 0.1  # for a socket to take the last words

T = TypeVar("T")
Take = Callable[[str, bytes, bool], None]  # topic, payload, whether the broker had it in store


class _HandedOn(asyncio.Queue[aiomqtt.Message]):
    """In the place of aiomqtt's queue: a task a message, as its iterator makes, is too dear."""

    def __init__(self, take: Take, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._take = take
        self.taken = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self.taken += 1
        self._take(item.topic.value, bytes(item.payload), bool(item.retain))


class MendedClient(aiomqtt.Client):
    """``take`` gets every message as it comes in, within the loop. ``reach``, enter, ``drop``."""

    def __init__(self, take: Take, *args: Any, **kwargs: Any) -> None:
        inbox = cast("type[asyncio.Queue[aiomqtt.Message]]", partial(_HandedOn, take))
        super().__init__(*args, queue_type=inbox, **kwargs)
        self._inbox = cast(_HandedOn, self._queue)
        self._dropped = False
        self._pace = Pace()
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

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109
        """asyncio.wait_for, which aiomqtt uses, forgets in Python 3.11 that it was cancelled when
        the answer comes in the same turn: whoever stops us would wait for good."""
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("no answer in time") from None

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

    def _listen(self) -> None:
        connected = self._client.socket()
        if connected is not None:
            self._loop.add_reader(connected.fileno(), self._read)

    def _read(self) -> None:
        """Take all there is. In a flood, wait a little then: to wake for each drop is dear."""
        before = self._inbox.taken
        for _ in range(BATCH):
            last = self._inbox.taken
            self._guarded(self._client.loop_read)
            connected = self._client.socket()
            pending = isinstance(connected, ssl.SSLSocket) and connected.pending() > 0
            if self._inbox.taken == last and not pending:
                break
        else:
            self._loop.call_soon(self._read)  # the loop cannot see what TLS has decoded already
            return
        taken = self._inbox.taken - before
        if self._pace.flooded(taken, self._loop.time()) and connected is not None:
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
