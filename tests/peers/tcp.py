"""TCP peers that misbehave on demand: a proxy, a mute server, one that only says no.

Each is an asyncio server on 127.0.0.1 with a thread and a loop of its own, so that it goes on
misbehaving while the test's thread or loop is blocked. Their methods may be called from anywhere.
"""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Self

__all__ = ["MuteServer", "RefusingServer", "TcpProxy"]

HOST = "127.0.0.1"
ACCEPTED_S = 0.1  # in which who was accepted last has a task, which closes the connection


class _Server:
    """A listening socket whose connections a subclass handles; counts them."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.port = port  # 0 picks one at the start, which then stays
        self.tls = tls
        self.connections = 0  # accepted so far
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    def start(self) -> None:
        ready: list[BaseException | None] = []
        listening = threading.Event()

        def run() -> None:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                try:
                    runner.run(self._listen())
                    ready.append(None)
                except OSError as error:
                    ready.append(error)
                    return
                finally:
                    listening.set()
                self._loop.run_forever()
                runner.run(self._close())

        self._thread = threading.Thread(target=run, name=type(self).__name__, daemon=True)
        self._thread.start()
        listening.wait()
        if ready and ready[0] is not None:
            self._thread.join()
            raise ready[0]

    def stop(self) -> None:
        """Close the listener and every connection; may be started again on the same port."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._thread = self._loop = None

    def reset(self) -> None:
        """Cut every open connection with a TCP RST; new ones are welcome."""
        self._call(self._reset)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _call(self, change: Callable[[], None]) -> None:
        """Run a function on the server's loop and wait for it."""
        if self._loop is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        done = threading.Event()

        def run() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(run)
        if not done.wait(10):
            raise TimeoutError(f"{type(self).__name__} does not answer")

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._handle(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the other end went away, or we do
        finally:
            self._tasks.discard(task)
            self._drop(writer)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    def _reset(self) -> None:
        for writer in self._writers:
            _cut(writer)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(ACCEPTED_S)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in list(self._writers):
            self._drop(writer)
        await asyncio.sleep(0)  # transports close in the loop's next iteration


def _cut(writer: asyncio.StreamWriter) -> None:
    if writer.is_closing():
        return  # the other end went away before
    connection = writer.get_extra_info("socket")
    linger = struct.pack("ii", 1, 0)  # close() then sends RST and drops what is queued
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class TcpProxy(_Server):
    """Passes TCP on to ``target_port``, until told to do worse.

    One state holds at a time, for connections there are and those to come:

    - ``forward()``: pass everything on; what a stall held back goes first.
    - ``stall()``: read nothing and send nothing, either way; the ends feel back-pressure.
    - ``black_hole()``: read everything and send nothing; the ends feel nothing at all.
    - ``throttle(rate)``: pass on at most so many bytes a second, each way and connection.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        super().__init__(port)
        self.target_port = target_port
        self._flowing: asyncio.Event  # cleared while stalled
        self._swallow = False
        self._rate: int | None = None  # bytes per second

    def forward(self) -> None:
        self._call(lambda: self._become(flowing=True))

    def stall(self) -> None:
        self._call(lambda: self._become(flowing=False))

    def black_hole(self) -> None:
        self._call(lambda: self._become(flowing=True, swallow=True))

    def throttle(self, bytes_per_s: int) -> None:
        self._call(lambda: self._become(flowing=True, rate=bytes_per_s))

    def _become(self, *, flowing: bool, swallow: bool = False, rate: int | None = None) -> None:
        self._swallow, self._rate = swallow, rate
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _listen(self) -> None:
        self._flowing = asyncio.Event()
        self._become(flowing=True)
        await super()._listen()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        up_reader, up_writer = await asyncio.open_connection(HOST, self.target_port)
        self._writers.add(up_writer)
        if writer.transport.is_closing():  # reset while we connected
            _cut(up_writer)
        try:
            pumps = [self._pump(reader, up_writer), self._pump(up_reader, writer)]
            done, rest = await asyncio.wait(
                [asyncio.ensure_future(pump) for pump in pumps],
                return_when=asyncio.FIRST_COMPLETED,
            )
            for pump in rest:
                pump.cancel()
            await asyncio.gather(*done, *rest, return_exceptions=True)
        finally:
            self._drop(up_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._flowing.wait()
            data = await reader.read(65536)
            if not data:
                break
            while data:
                await self._flowing.wait()  # read before a stall began: goes out after it
                if self._swallow:
                    break
                size = len(data) if self._rate is None else max(1, self._rate // 20)
                piece, data = data[:size], data[size:]
                writer.write(piece)
                await writer.drain()
                if self._rate is not None:
                    await asyncio.sleep(len(piece) / self._rate)


class MuteServer(_Server):
    """Accepts, reads what it is told, and never says a word."""

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass


class RefusingServer(_Server):
    """Answers every RTSP or HTTP request with one status, such as 404 or 401; counts them."""

    def __init__(self, status: int, port: int = 0) -> None:
        super().__init__(port)
        self.status = status
        self.requests = 0

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except asyncio.IncompleteReadError:
                return
            self.requests += 1
            first, *lines = head.split("\r\n")
            protocol = first.split()[-1]
            answer = [
                f"{protocol} {self.status} {HTTPStatus(self.status).phrase}",
                "Content-Length: 0",
            ]
            answer += [line for line in lines if line.lower().startswith("cseq:")]
            if self.status == 401:
                answer.append('WWW-Authenticate: Basic realm="refused"')
            writer.write("\r\n".join([*answer, "", ""]).encode())
            await writer.drain()
