"""A process of ours and the socket to it: ``python -m MODULE FD ...``, and its end for sure."""

import asyncio
import socket
import sys
from contextlib import suppress
from typing import Self

__all__ = ["ChildProcess"]

READ_BYTES = 2**22  # that may wait to be read


class ChildProcess:
    """One process, whose ``FD`` is its end of a socket pair. It has no stdin."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.reader = reader
        self._process = process
        self._writer = writer

    @classmethod
    async def start(cls, module: str, *arguments: str) -> Self:
        """Raises OSError where there can be no process."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    module,
                    str(theirs.fileno()),
                    *arguments,
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, *await asyncio.open_connection(sock=ours, limit=READ_BYTES))

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: bytes) -> None:
        """Queue a message; nobody is told where the process is gone."""
        if not self._writer.is_closing():
            self._writer.write(message)

    def kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self, patience_s: float = 0.0) -> None:
        """Let it end by itself for so long, then kill it; it has ended on return."""
        if patience_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._process.wait()
        self.kill()
        await self._process.wait()
        self._writer.close()
