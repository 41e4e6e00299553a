"""A publisher process from outside: starting it, feeding it no faster than it takes, ending it.

Nothing here waits for what a peer may hold up: a process that does not end is killed.
"""

import asyncio
from typing import Any, Self

from streamsr.ipc.feed import Kind, decode, encode
from streamsr.ipc.framing import read_frame
from streamsr.ipc.process import ChildProcess

__all__ = ["PublisherProcess"]

UNDERWAY = 64  # packets that the process may have before it
END_S = 2.0  # for a process that said its last word to end by itself


class PublisherProcess:
    """One publisher process, and how far it is."""

    def __init__(self, child: ChildProcess) -> None:
        self.finishing = False  # it was told that there are no more packets
        self._child = child
        self._sent = 0  # packets
        self._taken = 0
        self._moved = asyncio.Event()  # it took some

    @classmethod
    async def start(cls, job: dict[str, Any]) -> Self:
        """Raises OSError where there can be no process."""
        link = cls(await ChildProcess.start("streamsr.outputs.process"))
        link.send(encode(Kind.JOB, job))
        return link

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def underway(self) -> int:
        """Packets that the process was sent and did not take."""
        return self._sent - self._taken

    def send(self, message: bytes) -> None:
        self._child.send(message)

    async def send_packet(self, message: bytes) -> None:
        """Send a packet as soon as the process is not too far behind."""
        while self.underway >= UNDERWAY:
            self._moved.clear()
            await self._moved.wait()
        self._sent += 1
        self.send(message)

    async def all_taken(self) -> None:
        """Wait until the process took what it was sent: its server is open then."""
        while self.underway:
            self._moved.clear()
            await self._moved.wait()

    def taken_up_to(self, count: int) -> None:
        self._taken = count
        self._moved.set()

    def finish(self) -> None:
        self.finishing = True
        self.send(encode(Kind.STOP))

    async def read(self) -> tuple[Kind, Any] | None:
        """The next message; None at the end of the process."""
        frame = await read_frame(self._child.reader)
        return None if frame is None else decode(frame)

    def kill(self) -> None:
        self._child.kill()

    async def end(self) -> None:
        """Make sure that it has ended: one that failed or finished does so by itself."""
        await self._child.end(END_S if self._child.reader.at_eof() else 0.0)
