"""The process of a fleet's node: runs the cameras that its host says, and says how they stand.

Started as ``python -m streamsr.fleet.host.program FD``, FD being its end of a socket pair. It runs
one ``Node``, which is told of changes as of a file that changed. Without a host it ends at once:
its cameras are another machine's soon.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterable

from streamsr.core.config import FILLED_IN, parse
from streamsr.core.deadline import Deadline
from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.events.journal import Journal, logged_journal
from streamsr.core.events.log import log_uncaught, set_up_log
from streamsr.core.files import FILE_MASK
from streamsr.core.lease import LeaseFolder
from streamsr.core.redact import redact
from streamsr.core.settings import NodeSettings, StreamSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.fleet.host.warm_worker import WarmWorkers
from streamsr.ipc.framing import encode, read
from streamsr.ipc.messages import Message, NodeReport, Quit, RunCameras, RunningCamera
from streamsr.node.check import check_stream
from streamsr.node.merge import data_of
from streamsr.node.node import Node
from streamsr.serve.app import Server  # noqa: F401 - loaded before a heartbeat is owed

__all__ = ["NodeProgram", "main"]

REPORT_S = 0.5
NOTHING = 0.0, 0.0
WARM_S = 15.0  # until it says that it is there, whether or not its worker is

log = logging.getLogger("streamsr")


class NodeProgram:
    """What the process does: one node after another, as there are cameras or none."""

    def __init__(self, journal: Journal) -> None:
        self.changed = asyncio.Event()  # what is reported, or what is wanted
        self._journal = journal
        self._wanted: RunCameras | None = None
        self._node: Node | None = None
        self._running: asyncio.Task[None] | None = None
        self._streams: dict[str, StreamSettings] = {}  # that the node was told to run
        self._asked: set[str] = set()  # names of the cameras of what is wanted
        self._refused: dict[str, str] = {}  # why a camera cannot be run here
        self._ended: dict[str, StreamStatus] = {}  # cameras of a node that has ended by itself
        self._address = ""
        self._groups = ""  # of the node
        self._followed = 0
        self._workers = WarmWorkers(journal)

    def want(self, wanted: RunCameras) -> None:
        self._wanted = wanted
        self._asked = {str(json.loads(text).get("name")) for text in wanted.cameras}
        self.changed.set()

    async def run(self) -> None:
        """Follows what is wanted, one change after another, until it is cancelled."""
        followed: RunCameras | None = None
        self._workers.begin()
        try:
            while True:
                await self.changed.wait()
                self.changed.clear()
                if self._wanted is not None and self._wanted != followed:
                    followed = self._wanted
                    await self._follow(followed)
                    self._followed = followed.number
        finally:
            self._workers.end()

    async def ready(self) -> None:
        """Returns once a camera that it is told to run begins at once; after 15 s in any case."""
        self._workers.begin()
        await self._workers.ready(WARM_S)

    async def stop(self, deadline: Deadline) -> None:
        """Ends the node by the deadline."""
        if self._node is not None and self._running is not None:
            self._node.stop(deadline)
            await asyncio.wait({self._running})

    def report(self) -> NodeReport:
        """Returns how all cameras stand that are wanted or have not ended."""
        found = {name: _running(status) for name, status in self._statuses().items()}
        for name in self._streams:  # that the node does not show: it has begun with it, or ends it
            begins = name in self._asked
            state = StreamState.STARTING if begins else StreamState.DOWN
            reason = "" if begins else "it is ending"
            found.setdefault(name, RunningCamera(name, state, reason, NOTHING))
        for name, why in self._refused.items():
            found[name] = RunningCamera(name, StreamState.DOWN, why, NOTHING)
        return NodeReport(tuple(found.values()), self._address, self._followed)

    def _statuses(self) -> dict[str, StreamStatus]:
        if self._node is None:
            return self._ended
        return {name: camera.status for name, camera in self._node.cameras().items()}

    async def _follow(self, wanted: RunCameras) -> None:
        streams = await asyncio.to_thread(self._checked, wanted)
        if not streams:
            await self.stop(Deadline.after())
            self._streams, self._ended = {}, {}
            return
        try:
            settings = _node_settings(wanted.node, streams.values())
            if wanted.node != self._groups:  # which a node takes at its start alone
                await self.stop(Deadline.after())
            if self._node is not None:
                await self._node.reload(settings)
            else:
                leases = LeaseFolder(wanted.leases)
                node = Node(settings, self._journal, None, leases, self._workers)
                self._running = asyncio.create_task(self._run(node), name="node")
                self._node, self._groups = node, wanted.node
        except UserError as error:
            self._refused |= dict.fromkeys(streams, redact(error))
        else:
            self._streams = streams

    def _checked(self, wanted: RunCameras) -> dict[str, StreamSettings]:
        """Returns the cameras that can be run here; notes why others cannot."""
        streams: dict[str, StreamSettings] = {}
        self._refused = {}
        for text in wanted.cameras:
            data = json.loads(text)
            name = str(data.get("name"))
            try:
                stream = parse(data, StreamSettings, f"camera {name}", FILLED_IN)
                check_stream(stream, self._streams.get(name))
            except UserError as error:
                self._refused[name] = redact(error)
            else:
                streams[name] = stream
        return streams

    async def _run(self, node: Node) -> None:
        try:
            statuses = await node.run(self._listens)
        except StreamsrError as error:  # every camera has failed: they are as they were last
            log.error("%s", redact(error))
            statuses = [camera.status for camera in node.cameras().values()]
        self._ended = {status.name: status for status in statuses}
        self._node, self._address = None, ""
        self._workers.begin()
        self.changed.set()

    def _listens(self, url: str) -> None:
        self._address = url


def _node_settings(groups: str, streams: Iterable[StreamSettings]) -> NodeSettings:
    """Raises ConfigError where these streams cannot go together."""
    data = json.loads(groups) | {"streams": [data_of(stream) for stream in streams]}
    return parse(data, NodeSettings, "cameras", FILLED_IN)


def _running(status: StreamStatus) -> RunningCamera:
    reason = redact(status.reason or status.message)
    return RunningCamera(status.name, status.state, reason, status.takes_ms)


class _Connection:
    """The socket to the host."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def listen(self, program: NodeProgram) -> Deadline:
        """Hands on what the host says, until it is to end: by when. Without a host: now."""
        while True:
            match await read(self._reader):
                case RunCameras() as wanted:
                    program.want(wanted)
                case Quit(within_s):
                    return Deadline.after(within_s)
                case _:
                    os._exit(1)  # the host is gone: files are finished by processes of their own

    async def report(self, program: NodeProgram) -> None:
        await program.ready()
        while True:
            self._send(program.report())
            await self._writer.drain()
            await asyncio.sleep(REPORT_S)

    def _send(self, message: Message) -> None:
        self._writer.write(encode(message))


async def serve(connection: socket.socket) -> None:
    """Runs what the host says until it says to end."""
    journal = logged_journal()
    program = NodeProgram(journal)
    host = _Connection(*await asyncio.open_connection(sock=connection, limit=2**22))
    tasks = [
        asyncio.create_task(program.run(), name="cameras"),
        asyncio.create_task(host.report(program), name="report"),
    ]
    listening = asyncio.create_task(host.listen(program), name="host")
    await asyncio.wait({listening, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    if listening.done():
        await program.stop(listening.result())
        return
    for task in tasks:  # a fault of ours: another process takes this one's place
        if task.done():
            task.result()


def main() -> None:
    """Runs the node whose socket is the file descriptor in ``sys.argv[1]``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they go to the whole group: the host says when
    os.umask(FILE_MASK)
    set_up_log()
    log_uncaught()
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))
    os._exit(0)


if __name__ == "__main__":
    main()
