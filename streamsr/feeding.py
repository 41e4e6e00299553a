"""A publisher process from outside: starting it, feeding it no faster than it takes, ending it.

Nothing here waits for what a peer may hold up: a process that does not end is killed.
"""

import asyncio
import socket
import sys
from contextlib import suppress
from typing import Any, Self

from streamsr.feed import Kind, decode, encode
from streamsr.framing import MAX_BYTES

__all__ = ["PublisherProcess"]

UNDERWAY = 64  # packets that the process may have before it
END_S = 2.0  # for a process that said its last word to end by itself


class PublisherProcess:
    """One publisher process and the socket to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.finishing = False  # it was told that there are no more packets
        self._process = process
        self._reader = reader
        self._writer = writer
        self._sent = 0  # packets
        self._taken = 0
        self._moved = asyncio.Event()  # it took some

    @classmethod
    async def start(cls, job: dict[str, Any]) -> Self:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "streamsr.publisher",
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        link = cls(process, *await asyncio.open_connection(sock=ours))
        link.send(encode(Kind.JOB, job))
        return link

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def underway(self) -> int:
        """Packets that the process was sent and did not take."""
        return self._sent - self._taken

    def send(self, message: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(message)

    async def send_packet(self, message: bytes) -> None:
        """Send a packet as soon as the process is not too far behind."""
        while self.underway >= UNDERWAY:
            self._moved.clear()
            await self._moved.wait()
        self._sent += 1
        self.send(message)

    def taken_up_to(self, count: int) -> None:
        self._taken = count
        self._moved.set()

    def finish(self) -> None:
        self.finishing = True
        self.send(encode(Kind.STOP))

    async def read(self) -> tuple[Kind, Any] | None:
        """The next message; None at the end of the process."""
        try:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if length > MAX_BYTES:
                return None
            return decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self) -> None:
        """Make sure that it has ended: one that failed or finished does so by itself."""
        if self._reader.at_eof():
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await self._process.wait()
        self.kill()
        await self._process.wait()
        self._writer.close()
