"""A supervised child process: started, watched by its heartbeat, restarted, and stopped for sure.

It owns the process and the socket to it. What the two say to each other is for its kinds: the
worker of a device (``node/worker_process.py``) and an output (``outputs/output.py``). A child that
is only asked one thing is ``ask_child``.
"""

import asyncio
import logging
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from traceback import format_exc
from typing import Self

from streamsr.core.backoff import Backoff, keep_trying
from streamsr.core.deadline import Deadline
from streamsr.core.files import FILE_MASK
from streamsr.core.redact import childrens_environment, redact
from streamsr.core.waiting import first_of
from streamsr.ipc.framing import encode, read
from streamsr.ipc.messages import Message

__all__ = ["HeartbeatLimits", "RestartError", "SupervisedProcess", "ask_child"]

READ_BYTES = 2**22  # that may wait to be read
KILLED_S = 1.0  # until a killed child is gone, unless a driver holds it

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeartbeatLimits:
    """How long a process may send nothing until it counts as hung and is killed, in seconds."""

    start_s: float  # until its first message: its imports may come from a slow disk
    silence_s: float  # from one message to the next


class RestartError(Exception):
    """The process is of no use any more, and another one is to be started: why."""


def ask_child(module: str, argument: str, limit_s: float) -> tuple[str, str]:
    """Runs ``python -m MODULE ARGUMENT`` to its end; returns its stdout and stderr.

    One that takes longer is killed, and left behind where a driver holds it even then: this thread
    waits ``limit_s`` seconds and a moment at most. Raises RestartError with the reason for one that
    takes longer, cannot be started, or is ended by a signal.
    """
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", module, argument],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=childrens_environment(),
            umask=FILE_MASK,
        )
    except OSError as error:
        raise RestartError(f"no process can be started: {error.strerror}") from None
    try:
        told = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise RestartError(f"it takes longer than {limit_s:g} s") from None
    finally:
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.wait(KILLED_S)
        for pipe in (child.stdout, child.stderr):
            pipe.close() if pipe is not None else None
    if child.returncode < 0:
        raise RestartError(f"its process is ended by signal {-child.returncode}")
    return told


class SupervisedProcess(ABC):
    """One child process, ``python -m MODULE FD ARGUMENTS``, kept alive from ``run`` to ``stop``.

    ``FD`` is its end of a socket pair. It has no stdin, and is killed when it sends nothing for
    longer than ``limits`` allow. When it is gone, another one is started after a delay.
    """

    def __init__(
        self, module: str, *arguments: str, limits: HeartbeatLimits, backoff: Backoff
    ) -> None:
        self.restarts = 0
        self.backoff = backoff  # ``succeeded()`` is for the kinds to say
        self.stopping = asyncio.Event()
        self._command = (module, *arguments)
        self._limits = limits
        self._child: _Child | None = None
        self._running: asyncio.Task[None] | None = None
        self._logged = ""  # the newest traceback

    @property
    def pid(self) -> int | None:
        """The process there is; None without one."""
        return self._child.process.pid if self._child is not None else None

    async def run(self) -> None:
        """Keeps a process alive until ``stop``, or until one ends as it was meant to."""
        self._running = asyncio.current_task()
        await keep_trying(self._session, self.backoff, self.stopping, self._failed)

    async def stop(self, deadline: Deadline) -> None:
        """Asks the process to finish, and kills it at the deadline; ``run`` returns."""
        self.stopping.set()
        self.finish(deadline)
        if self._running is not None and not self._running.done():
            try:
                await asyncio.wait({self._running}, timeout=deadline.left_s())
            finally:
                self.kill()
            await asyncio.wait({self._running})

    def send(self, message: Message) -> None:
        """Queues a message; without a process nothing is sent."""
        if self._child is not None and not self._child.writer.is_closing():
            self._child.writer.write(encode(message))

    def kill(self) -> None:
        """Kills the process there is."""
        if self._child is not None:
            self._child.kill()

    @abstractmethod
    async def send_input(self) -> None:
        """Sends a new process what it needs, for as long as that takes; it may be cancelled."""

    @abstractmethod
    def handle(self, message: Message) -> None:
        """Acts on a message of the process. Raises RestartError to have another one."""

    @abstractmethod
    def finish(self, deadline: Deadline) -> None:
        """Asks the process to finish by the deadline."""

    @abstractmethod
    def failed(self, reason: str, delay_s: float) -> None:
        """Tells that a process is gone, and that another one is started in ``delay_s``."""

    @abstractmethod
    def ended(self) -> None:
        """Settles what a process that is gone leaves behind."""

    def meant_to_end(self) -> bool:
        """Returns whether a process that ends now has done all it was to do."""
        return self.stopping.is_set()

    def _failed(self, reason: str, delay_s: float) -> None:
        self.restarts += 1
        self.failed(reason, delay_s)

    async def _session(self) -> str | None:
        """Runs one process from start to end; returns why it failed, None where it did not."""
        try:
            child = self._child = await _Child.start(*self._command)
        except OSError as error:
            return f"no process can be started: {error.strerror}"
        try:
            if not self.stopping.is_set():
                await first_of(self._listen(child), self._send_input(), name=self._command[0])
            return None
        except RestartError as error:
            return str(error)
        except Exception as error:  # a supervisor: whatever the fault is, another process is needed
            self._log(format_exc())
            return type(error).__name__
        finally:
            await child.end(self._limits.silence_s)
            self._child = None
            self.ended()

    def _log(self, trace: str) -> None:
        """Logs a traceback, unless it is the same as last time: a fault may last for days."""
        if trace != self._logged:
            self._logged = trace
            log.error("%s: %s", self._command[0], redact(trace))

    async def _send_input(self) -> None:
        await self.send_input()
        await asyncio.Event().wait()  # a process that has all it needs goes on

    async def _listen(self, child: "_Child") -> None:
        """Handles what a process sends until it ends; raises RestartError unless that was meant."""
        limit_s = self._limits.start_s
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    message = await read(child.reader)
            except TimeoutError:
                raise RestartError(f"no heartbeat for {limit_s:g} s") from None
            if message is None:
                if not self.meant_to_end():
                    raise RestartError("its process ended")
                return
            self.handle(message)
            limit_s = self._limits.silence_s


@dataclass(frozen=True, slots=True)
class _Child:
    """One process and the socket to it."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, module: str, *arguments: str) -> Self:
        """Raises OSError where no process can be started."""
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
                    env=childrens_environment(),
                    umask=FILE_MASK,
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, *await asyncio.open_connection(sock=ours, limit=READ_BYTES))

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()

    async def end(self, limit_s: float) -> None:
        """Makes sure that it has ended: one that hung up is given ``limit_s`` to do so by itself,
        any other is killed."""
        if self.reader.at_eof():
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self.process.wait()
        self.kill()
        await self.process.wait()
        self.writer.close()
