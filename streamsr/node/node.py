"""The main process: cameras in workers, watched over HTTP and WebRTC, steered over MQTT."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime

from streamsr.control.changes import CameraChange, NewCamera, Surroundings, changed, made
from streamsr.control.node_api import CameraState, NodeStatus
from streamsr.core.config import parse
from streamsr.core.deadline import Deadline
from streamsr.core.errors import UserError
from streamsr.core.events import Code, Event
from streamsr.core.events.event import iso
from streamsr.core.events.journal import Journal, worst
from streamsr.core.lease import LeaseFolder
from streamsr.core.settings import NodeSettings, StreamSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.core.version import version_of_streamsr
from streamsr.node.camera_set import CameraSet, WorkerOf
from streamsr.node.check import check_lasting, check_stream, models_of, only_switched
from streamsr.node.edits import Edits, KeptEdits
from streamsr.node.merge import with_streams
from streamsr.node.services import mqtt_client, web_server
from streamsr.node.worker_process import WorkerProcess
from streamsr.serve.served import Served

__all__ = ["Node"]


class Node:
    """Many cameras: their workers, who watches them, and what steers them. ``run()`` it once.

    It is what MQTT steers (:class:`~streamsr.control.node_api.NodeApi`).
    """

    def __init__(
        self,
        settings: NodeSettings,
        journal: Journal,
        edits: Edits | None = None,
        leases: LeaseFolder | None = None,
        worker_of: WorkerOf = WorkerProcess,
    ) -> None:
        """``settings`` are what its file says; ``edits`` keep what is changed while it runs, until
        it ends where there are none. ``leases`` are those by which alone its cameras may be
        published, in a fleet. ``worker_of`` makes the workers that its cameras run in.

        Raises UserError for what the user has to correct, before anything is started.
        """
        self._journal = self.emit = journal
        self.edits = edits or KeptEdits(None, journal)
        self.settings = settings = self._checked(settings)
        self._since = iso(datetime.now(UTC))
        self._changed = asyncio.Event()  # a camera has ended, or the node is to stop
        self._cameras = CameraSet(journal, self._changed.set, leases, worker_of)
        self._making: set[asyncio.Task[None]] = set()  # changes of cameras
        self._editing = asyncio.Lock()  # one change of the settings after another
        self._models = models_of(settings)
        self._mqtt = mqtt_client(settings, self, journal)
        self._server = web_server(settings, self, self.served, journal)
        self._deadline: Deadline | None = None  # once it is to stop

    async def run(self, listening: Callable[[str], None]) -> list[StreamStatus]:
        """Runs until every camera has ended or ``stop()``; returns the summaries.

        ``listening`` is told the page's address as soon as it answers. Raises the first failure
        where every camera has failed, and ConfigError where the address cannot be listened on.
        """
        async with self._server or nullcontext():
            if self._server is not None:
                listening(self._server.url)
            ticking = asyncio.create_task(self._journal.run(), name="journal")
            steering = asyncio.create_task(self._mqtt.run(), name="mqtt") if self._mqtt else None
            for settings in self.settings.streams:
                self._cameras.begin(settings)
            while (self._cameras.running or self._editing.locked()) and self._deadline is None:
                self._changed.clear()
                await self._changed.wait()
            asked = self._deadline is not None
            self._deadline = self._deadline or Deadline.after()
            await self._shut_down(self._deadline, steering)
            ticking.cancel()
        return self._cameras.summaries(asked)

    @property
    def served(self) -> Mapping[str, Served]:
        """What the web server may show of each camera."""
        return self._cameras.served

    def stop(self, deadline: Deadline) -> None:
        """Has every camera deliver what it has read, and ends by the deadline; ``run`` returns."""
        self._deadline = deadline
        self._changed.set()

    # what is read and commanded over MQTT and the API

    def status(self) -> NodeStatus:
        wrong = worst(self._journal.standing("", None))
        states = [camera.status.state for camera in self.cameras().values()]
        return NodeStatus(
            name=self.settings.name,
            version=version_of_streamsr(),
            since=self._since,
            cameras=len(states),
            live=states.count(StreamState.LIVE),
            edits=self.edits.kind,
            code=wrong.code if wrong is not None else "",
            reason=wrong.reason if wrong is not None else "",
            doing=wrong.doing if wrong is not None else "",
        )

    def cameras(self) -> Mapping[str, CameraState]:
        names = [s.name for s in self.settings.streams if s.name in self._cameras]
        return {name: self._cameras[name].state() for name in names}

    def models(self) -> Sequence[str]:
        return self._models

    def settings_of(self, camera: str) -> StreamSettings:
        found = (s for s in self.settings.streams if s.name == camera)
        return next(found, None) or self._cameras[camera].settings  # where it is none, that raises

    async def enable(self, camera: str, on: bool) -> None:
        await self.change(camera, CameraChange(enabled=on))

    async def use_model(self, camera: str, model: str) -> None:
        await self.change(camera, CameraChange(model=model))

    async def size(self, camera: str, size: str) -> None:
        asked = {"size": size or None}
        await self.change(camera, parse(asked, CameraChange, f"size of {camera}"))

    async def record(self, camera: str, on: bool) -> None:
        if self.settings_of(camera).record is None:
            raise UserError(f"record: {camera} has no group 'record' in its settings")
        await self.change(camera, CameraChange(recording=on))

    async def snapshot(self, camera: str, width: int = 0) -> bytes:
        return await self._cameras[camera].stream.snapshot(width)

    async def self_check(self, camera: str) -> None:
        await self._cameras.self_check(camera)

    async def add(self, asked: NewCamera) -> None:
        await self._whole(self._add(asked))

    async def change(self, camera: str, asked: CameraChange) -> None:
        await self._whole(
            self._edit(camera, lambda before: changed(before, asked, self._surroundings()))
        )

    async def remove(self, camera: str) -> None:
        await self._whole(self._remove(camera))

    async def _whole(self, change: Coroutine[None, None, None]) -> None:
        """Makes a change to its end, even where nobody waits for it any more: half of one would
        leave a camera that is neither there nor gone."""
        task = asyncio.create_task(change, name="change of cameras")
        self._making.add(task)
        task.add_done_callback(self._made)
        await asyncio.shield(task)

    def _made(self, task: asyncio.Task[None]) -> None:
        self._making.discard(task)
        if not task.cancelled():
            task.exception()  # it is told to who waits; where nobody does, it was refused

    async def _add(self, asked: NewCamera) -> None:
        async with self._changes():
            settings = made(asked, self._surroundings())
            if settings.name in self._cameras:
                raise UserError(f"name: got {settings.name!r}, which is another camera's")
            await asyncio.to_thread(check_stream, settings)
            node = with_streams(self.settings, (*self.settings.streams, settings))
            await asyncio.to_thread(self.edits.keep, None, settings)
            self.settings = node
            if self._deadline is None:
                self._cameras.begin(settings)

    async def _remove(self, camera: str) -> None:
        async with self._changes():
            before = self.settings_of(camera)
            if len(self.settings.streams) == 1:
                raise UserError(f"camera: {camera} is the last one, and a node has one at least")
            node = with_streams(self.settings, (s for s in self.settings.streams if s != before))
            await asyncio.to_thread(self.edits.keep, before, None)
            self.settings = node
            await self._cameras.remove(camera)
            await self._cameras.end_idle_workers()

    @asynccontextmanager
    async def _changes(self) -> AsyncIterator[None]:
        """One change of the cameras after another; the node goes on while there is one."""
        try:
            async with self._editing:
                yield
        finally:
            self._changed.set()

    async def _edit(self, camera: str, edit: Callable[[StreamSettings], StreamSettings]) -> None:
        """Has a camera run by other settings, and keeps them. Raises UserError, nothing changed.

        Even where nothing changes, a camera that has ended begins again if it is to run.
        """
        async with self._changes():
            before = self.settings_of(camera)
            after = edit(before)
            if after != before:
                if not only_switched(before, after):
                    await asyncio.to_thread(check_stream, after, before)
                streams = [after if s.name == camera else s for s in self.settings.streams]
                node = with_streams(self.settings, streams)
                await asyncio.to_thread(self.edits.keep, before, after)
                self.settings = node
            if self._deadline is None:
                await self._cameras.change(after)

    def _surroundings(self) -> Surroundings:
        records = [stream.record for stream in self.settings.streams]
        folders = {record.folder.absolute() for record in records if record is not None}
        return Surroundings(self._models, frozenset(folders))

    def _checked(self, read: NodeSettings) -> NodeSettings:
        """What the file says, with those edits of the last run that can still be run by.

        Raises UserError for what the file itself says.
        """
        for stream in self.edits.applied(read).streams:
            try:
                check_stream(stream)
            except UserError as error:
                if stream in read.streams:
                    raise
                self.edits.drop(stream.name, str(error))
                for own in (s for s in read.streams if s.name == stream.name):
                    check_stream(own)
        settings = self.edits.applied(read)
        self.edits.commit(read)
        return settings

    async def reload(self, read: NodeSettings) -> None:
        """Runs by other settings, as its file says them: cameras that changed start again, others
        go on untouched.

        Raises UserError for what is wrong with them, having changed nothing.
        """
        if self._server is not None:
            await self._server.read_again()
        async with self._changes():
            await self._reload(read)

    async def _reload(self, read: NodeSettings) -> None:
        settings = self.edits.applied(read)
        check_lasting(self.settings, settings)
        known = {s.name: s for s in self.settings.streams}
        failed = self._cameras.failed
        changed = [s for s in settings.streams if known.get(s.name) != s or failed(s.name)]
        for stream in changed:
            await asyncio.to_thread(check_stream, stream, known.get(stream.name))
        models = await asyncio.to_thread(models_of, settings)
        if self._server is not None and settings.serve not in (None, self.settings.serve):
            await self._server.use_tokens(settings.serve)
        kept = {s.name for s in settings.streams} - {s.name for s in changed}
        self.settings, self._models = settings, models
        self.edits.commit(read)
        sessions = await self._cameras.remove_all(known.keys() - kept)
        if self._deadline is None:
            for stream in changed:
                self._cameras.begin(stream, sessions.get(stream.name, 0))
        await self._cameras.end_idle_workers()
        names = ", ".join(s.name for s in changed) or "none"
        self.emit(Event(Code.CONFIG_RELOADED, "", f"streams begun again: {names}"))

    async def _shut_down(self, deadline: Deadline, steering: asyncio.Task[None] | None) -> None:
        leaving = asyncio.create_task(self._leave_broker(deadline, steering), name="leave MQTT")
        await self._cameras.stop(deadline)
        if self._server is not None:
            await self._server.close(deadline)
        await leaving

    async def _leave_broker(self, deadline: Deadline, steering: asyncio.Task[None] | None) -> None:
        if self._mqtt is not None and steering is not None:
            await self._mqtt.stop(deadline)
            steering.cancel()
            await asyncio.wait({steering})
