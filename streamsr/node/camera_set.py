"""The cameras of a node while it runs: begun, changed and removed, in the workers they need."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from streamsr.core.deadline import OUTPUTS_SHARE, WORKERS_SHARE, Deadline
from streamsr.core.devices import pick_device
from streamsr.core.errors import UserError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.events.journal import Journal
from streamsr.core.lease import LeaseFolder
from streamsr.core.redact import redact
from streamsr.core.settings import StreamSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.media.addresses import PUBLISHED
from streamsr.node.camera import Camera
from streamsr.node.worker_process import DeviceWorker, WorkerProcess
from streamsr.serve.served import Served
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import find

__all__ = ["CameraSet", "WorkerOf"]

WorkerOf = Callable[[str, Emit], DeviceWorker]
"""Makes the worker of a device."""

# Groups that a session of a stream is made of: its viewers and outputs stay when they change.
OF_A_SESSION = frozenset({"input", "model", "encoder", "output", "sinks", "limits"})
CHECK_S = 30.0  # for a self-check to be made
PLAIN = "resample"  # the network of models that are filters
SWITCHES = frozenset({"name", "enabled"})


class CameraSet:
    """Cameras by name, in the order in which they began, and what of them the web server shows."""

    def __init__(
        self,
        journal: Journal,
        ended: Callable[[], None],
        leases: LeaseFolder | None = None,
        worker_of: WorkerOf = WorkerProcess,
    ) -> None:
        """``ended`` is called whenever a camera has ended; ``leases`` are those of a fleet's;
        ``worker_of`` makes a device's worker."""
        self.served: dict[str, Served] = {}
        self._journal = journal
        self._ended = ended
        self._leases = leases
        self._cameras: dict[str, Camera] = {}
        self._worker_of = worker_of
        self._workers: dict[str, DeviceWorker] = {}  # by device
        self._working: dict[str, asyncio.Task[None]] = {}  # that run workers, by device
        self._tasks: dict[str, asyncio.Task[None]] = {}  # that run cameras, by name
        self._stopping = False

    def __getitem__(self, name: str) -> Camera:
        """Raises UserError where there is none of this name."""
        if name not in self._cameras:
            raise UserError(f"camera: got {name!r}, allowed are {', '.join(self._cameras)}")
        return self._cameras[name]

    def __contains__(self, name: str) -> bool:
        return name in self._cameras

    def __iter__(self) -> Iterator[str]:
        return iter(self._cameras)

    @property
    def running(self) -> bool:
        """Whether any of them has not ended."""
        return bool(self._tasks)

    def failed(self, name: str) -> bool:
        return name in self._cameras and self._cameras[name].stream.failure is not None

    def begin(self, settings: StreamSettings, sessions: int = 0) -> None:
        """Begins a camera, unless all are stopping; ``sessions``: how many one in its place had."""
        if self._stopping:
            return
        worker = self._worker(pick_device(settings.model.device))
        name, leases = settings.name, self._leases
        lease = leases.path_of(name) if leases is not None else None
        camera = Camera(settings, worker, self._journal, sessions=sessions, lease=lease)
        worker.streams[name] = camera.stream
        self._cameras[name] = camera
        self.served[name] = camera.served()
        self._tasks[name] = asyncio.create_task(self._keep(name, camera), name=f"camera {name}")

    async def remove(self, name: str) -> int:
        """Ends a camera and forgets it; returns how many sessions it had."""
        camera, task = self._cameras.pop(name), self._tasks.get(name)
        del self.served[name]
        await camera.stop(Deadline.after())
        if task is not None:
            await task
        camera.worker.streams.pop(name, None)
        self._journal.forget(name)  # what its end told, too
        return camera.stream.sessions

    async def remove_all(self, names: Iterable[str]) -> dict[str, int]:
        """Ends some at once; returns how many sessions each had."""
        gone = list(names)
        counts = await asyncio.gather(*(self.remove(name) for name in gone))
        return dict(zip(gone, counts, strict=True))

    async def change(self, settings: StreamSettings) -> None:
        """Has the camera of this name run by other settings, with as little interrupted as can be.

        It begins again where its outputs, its device or its being published to are others, or it
        has ended and is to run.
        """
        camera = self[settings.name]
        before = camera.settings
        others = {
            n for n in StreamSettings.model_fields if getattr(before, n) != getattr(settings, n)
        }
        ended = settings.name not in self._tasks and settings.enabled
        made_anew = others - OF_A_SESSION - SWITCHES - _switched_alone(before, settings)
        if ended or made_anew or _elsewhere(camera, settings):
            self.begin(settings, await self.remove(settings.name))
            await self.end_idle_workers()
            return
        if others & OF_A_SESSION == {"model"} and await _can_switch(before, settings):
            camera.stream.use_model(settings)
        elif others & OF_A_SESSION and settings.enabled:
            await camera.stream.restart(settings)
        else:
            camera.stream.settings = settings
        if camera.stream.enabled != settings.enabled:
            await camera.stream.enable(settings.enabled)
        if settings.record is not None and camera.state().recording != settings.record.enabled:
            await camera.record(settings.record.enabled)
            await asyncio.sleep(0)  # the recorder begins: how it stands says so

    async def self_check(self, name: str) -> None:
        """Has a camera's models compared with bicubic now, and waits for the result.

        Raises UserError where that cannot be, TimeoutError where none comes.
        """
        camera = self[name]
        model, status = camera.settings.model, camera.stream.status
        if not model.self_check_s:
            raise UserError(f"{name}: model.self_check_s is 0, which leaves self-checks out")
        if status.state is not StreamState.LIVE:
            raise UserError(f"{name}: it is {status.state}, and there is no frame to check")
        entry = await asyncio.to_thread(find, status.wanted or status.model, model.folders)
        if entry.card.network == PLAIN:
            raise UserError(f"{name}: {entry.name} is no network, and is compared with nothing")
        before = camera.stream.status.self_checks
        camera.stream.check_models()
        async with asyncio.timeout(CHECK_S):
            while camera.stream.status.self_checks == before:
                camera.stream.reported.clear()
                await camera.stream.reported.wait()

    async def end_idle_workers(self) -> None:
        idle = [device for device, worker in self._workers.items() if not worker.streams]
        await self._end_workers(idle, Deadline.after())

    async def stop(self, deadline: Deadline) -> None:
        """Ends cameras first, as their workers must deliver what they hold; then the workers."""
        self._stopping = True
        tasks = list(self._tasks.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline.share(OUTPUTS_SHARE).left_s()):
                await asyncio.gather(*(camera.stop(deadline) for camera in self._cameras.values()))
                await asyncio.gather(*tasks)
        for task in tasks:
            task.cancel()
        await self._end_workers(list(self._workers), deadline.share(WORKERS_SHARE))

    def summaries(self, asked: bool) -> list[StreamStatus]:
        """``asked``: they were told to end, and what did not arrive by then is no failure.

        Raises the first failure where every camera has failed.
        """
        cameras = self._cameras.values()
        ends = [camera.stream.failure if asked else camera.failure for camera in cameras]
        failures = [failure for failure in ends if failure is not None]
        if failures and len(failures) == len(cameras):
            raise failures[0]
        return [camera.stream.summary or camera.stream.status for camera in cameras]

    async def _keep(self, name: str, camera: Camera) -> None:
        """Runs a camera; it stays in the list when it has ended by itself."""
        try:
            await camera.run()
        except Exception as error:  # a fault of ours with one camera must not end the others
            message = f"{type(error).__name__}: {redact(error)}"
            self._journal(Event(Code.STREAM_FAILED, name, message))
        finally:
            self._tasks.pop(name, None)
            self._ended()

    def _worker(self, device: str) -> DeviceWorker:
        if device not in self._workers:
            worker = self._workers[device] = self._worker_of(device, self._journal)
            name = f"worker of {device}"
            self._working[device] = asyncio.create_task(worker.run(), name=name)
        return self._workers[device]

    async def _end_workers(self, devices: Sequence[str], deadline: Deadline) -> None:
        workers = [self._workers.pop(device) for device in devices]
        working = [self._working.pop(device) for device in devices]
        await asyncio.gather(*(worker.stop(deadline) for worker in workers), *working)
        for device in devices:
            self._journal.forget("", device)


def _switched_alone(before: StreamSettings, after: StreamSettings) -> frozenset[str]:
    """The recorder's group, where all that changes is whether it records."""
    if before.record is None or after.record is None:
        return frozenset()
    same = before.record.model_copy(update={"enabled": after.record.enabled}) == after.record
    return frozenset({"record"} if same else ())


def _elsewhere(camera: Camera, after: StreamSettings) -> bool:
    """Whether it is to run in another worker, or is published to as it was not, or no longer is."""
    published = camera.settings.input.url == PUBLISHED
    if published != (after.input.url == PUBLISHED):
        return True
    return pick_device(after.model.device) != camera.worker.device


async def _can_switch(before: StreamSettings, after: StreamSettings) -> bool:
    """Whether a session can go on: the name of its model changes alone, and not the scale."""
    if before.model.model_copy(update={"name": after.model.name}) != after.model:
        return False
    names, folders = (before.model.name, after.model.name), after.model.folders
    running, wanted = [await asyncio.to_thread(_scale_of, name, folders) for name in names]
    return wanted is not None and wanted == running


def _scale_of(model: str, folders: Sequence[Path]) -> int | None:
    """A model's scale; None where the source decides. Raises ModelError."""
    return None if model == AUTO else find(model, folders).facts.scale
