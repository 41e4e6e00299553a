"""The main process: cameras in workers, watched over HTTP and WebRTC, steered over MQTT."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamsr.control.node_api import CameraState
from streamsr.core.deadline import OUTPUTS_SHARE, WORKERS_SHARE, Deadline
from streamsr.core.devices import pick_device
from streamsr.core.errors import ConfigError, UserError
from streamsr.core.events import Code, Event
from streamsr.core.events.journal import Journal
from streamsr.core.redact import redact
from streamsr.core.settings import NodeSettings, OutputSettings, StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.node.camera import Camera
from streamsr.node.worker_process import WorkerProcess
from streamsr.outputs.target import check_output
from streamsr.pipeline.check import check_settings
from streamsr.serve.served import Served
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import families, find, listing

if TYPE_CHECKING:  # a node without [serve] or [mqtt] does not load what those need
    from streamsr.mqtt.client import MqttClient
    from streamsr.serve.app import Server

__all__ = ["Node"]


class Node:
    """Many cameras: their workers, who watches them, and what steers them. ``run()`` it once.

    It is what MQTT steers (:class:`~streamsr.control.node_api.NodeApi`).
    """

    def __init__(self, settings: NodeSettings, journal: Journal) -> None:
        """Raises UserError for what the user has to correct, before anything is started."""
        for stream in settings.streams:
            _check_stream(stream)
        self.settings = settings
        self._journal = self.emit = journal
        self._cameras: dict[str, Camera] = {}
        self.served: dict[str, Served] = {}
        self._workers: dict[str, WorkerProcess] = {}  # by device
        self._working: dict[str, asyncio.Task[None]] = {}  # that run workers, by device
        self._tasks: dict[str, asyncio.Task[None]] = {}  # that run cameras, by name
        self._changed = asyncio.Event()  # a camera has ended, or the node is to stop
        self._reloading = False
        self._models = _models_of(settings)
        self._mqtt = self._mqtt_client()
        self._server = self._web_server()
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
                self._begin(self._camera_of(settings))
            while (self._tasks or self._reloading) and self._deadline is None:
                self._changed.clear()
                await self._changed.wait()
            asked = self._deadline is not None
            self._deadline = self._deadline or Deadline.after()
            await self._shut_down(self._deadline, steering)
            ticking.cancel()
        return self._summaries(asked)

    def stop(self, deadline: Deadline) -> None:
        """Has every camera deliver what it has read, and ends by the deadline; ``run`` returns."""
        self._deadline = deadline
        self._changed.set()

    # what MQTT reads and commands

    def cameras(self) -> Mapping[str, CameraState]:
        return {name: camera.state() for name, camera in self._cameras.items()}

    def models(self) -> Sequence[str]:
        return self._models

    def settings_of(self, camera: str) -> StreamSettings:
        return self._camera(camera).settings

    async def enable(self, camera: str, on: bool) -> None:
        known = self._camera(camera)
        if on and camera not in self._tasks:  # it has ended: it begins again
            await self._remove(camera)
            known = self._camera_of(known.settings, known)
            self._begin(known)
        await known.stream.enable(on)

    async def use_model(self, camera: str, model: str) -> None:
        known = self._camera(camera)
        current = known.settings.model
        wanted = await asyncio.to_thread(_scale_of, model, current.folders)
        running = await asyncio.to_thread(_scale_of, current.name, current.folders)
        if wanted is not None and wanted == running:
            known.stream.use_model(model)
            return
        other = current.model_copy(update={"name": model})
        await known.stream.restart(known.settings.model_copy(update={"model": other}))

    async def record(self, camera: str, on: bool) -> None:
        await self._camera(camera).record(on)

    async def snapshot(self, camera: str) -> bytes:
        return await self._camera(camera).stream.snapshot()

    async def reload(self, settings: NodeSettings) -> None:
        """Runs by other settings: cameras that changed start again, others go on untouched.

        Raises UserError for what is wrong with them, having changed nothing.
        """
        if self._server is not None:
            await self._server.read_again()
        for group in ("name", "serve", "mqtt", "webrtc"):
            if getattr(settings, group) != getattr(self.settings, group):
                raise ConfigError(f"{group}: it changed, which needs a new start of the node")
        known = {s.name: s for s in self.settings.streams}
        changed = [s for s in settings.streams if known.get(s.name) != s or self._failed(s.name)]
        for stream in changed:
            await asyncio.to_thread(_check_stream, stream, known.get(stream.name))
        models = await asyncio.to_thread(_models_of, settings)
        kept = {s.name for s in settings.streams} - {s.name for s in changed}
        before = dict(self._cameras)
        self._reloading = True
        try:
            self.settings, self._models = settings, models
            await asyncio.gather(*(self._remove(name) for name in known.keys() - kept))
            if self._deadline is None:
                for stream in changed:
                    self._begin(self._camera_of(stream, before.get(stream.name)))
            idle = [device for device, worker in self._workers.items() if not worker.streams]
            await self._end_workers(idle, Deadline.after())
        finally:
            self._reloading = False
            self._changed.set()
        names = ", ".join(s.name for s in changed) or "none"
        self.emit(Event(Code.CONFIG_RELOADED, "", f"streams begun again: {names}"))

    def _failed(self, name: str) -> bool:
        return name in self._cameras and self._cameras[name].stream.failure is not None

    def _camera_of(self, settings: StreamSettings, before: Camera | None = None) -> Camera:
        sessions = before.stream.sessions if before is not None else 0
        worker = self._worker(pick_device(settings.model.device))
        return Camera(settings, worker, self._journal, sessions=sessions)

    def _begin(self, camera: Camera) -> None:
        name = camera.settings.name
        camera.worker.streams[name] = camera.stream
        self._cameras[name] = camera
        self.served[name] = camera.served()
        self._tasks[name] = asyncio.create_task(self._keep(name, camera), name=f"camera {name}")

    async def _keep(self, name: str, camera: Camera) -> None:
        """Runs a camera; it stays in the list when it has ended by itself."""
        try:
            await camera.run()
        except Exception as error:  # a fault of ours with one camera must not end the others
            message = f"{type(error).__name__}: {redact(error)}"
            self.emit(Event(Code.STREAM_FAILED, name, message))
        finally:
            self._tasks.pop(name, None)
            self._changed.set()

    async def _remove(self, name: str) -> None:
        camera, task = self._cameras.pop(name), self._tasks.get(name)
        del self.served[name]
        await camera.stop(Deadline.after())
        self._journal.forget(name)
        if task is not None:
            await task
        camera.worker.streams.pop(name, None)

    def _worker(self, device: str) -> WorkerProcess:
        if device not in self._workers:
            worker = self._workers[device] = WorkerProcess(device, self.emit)
            name = f"worker of {device}"
            self._working[device] = asyncio.create_task(worker.run(), name=name)
        return self._workers[device]

    async def _end_workers(self, devices: Sequence[str], deadline: Deadline) -> None:
        workers = [self._workers.pop(device) for device in devices]
        working = [self._working.pop(device) for device in devices]
        await asyncio.gather(*(worker.stop(deadline) for worker in workers), *working)

    async def _shut_down(self, deadline: Deadline, steering: asyncio.Task[None] | None) -> None:
        """Ends cameras first, as their workers must deliver what they hold; then all else."""
        leaving = asyncio.create_task(self._leave_broker(deadline, steering), name="leave MQTT")
        tasks = list(self._tasks.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline.share(OUTPUTS_SHARE).left_s()):
                await asyncio.gather(*(camera.stop(deadline) for camera in self._cameras.values()))
                await asyncio.gather(*tasks)
        for task in tasks:
            task.cancel()
        workers = deadline.share(WORKERS_SHARE)
        await self._end_workers(list(self._workers), workers)
        if self._server is not None:
            await self._server.close(deadline)
        await leaving

    async def _leave_broker(self, deadline: Deadline, steering: asyncio.Task[None] | None) -> None:
        if self._mqtt is not None and steering is not None:
            await self._mqtt.stop(deadline)
            steering.cancel()
            await asyncio.wait({steering})

    def _web_server(self) -> "Server | None":
        settings = self.settings.serve
        if settings is None:
            return None
        from streamsr.serve.access.access import Access

        access = Access.of(settings)
        access.secrets.check_exposure(settings.host)  # before WebRTC is imported, and PyAV with it
        from streamsr.serve.access.rate_limit import ServerLimits
        from streamsr.serve.app import Server

        return Server(
            self.served,
            host=settings.host,
            port=settings.port,
            access=access,
            limits=ServerLimits(viewers=settings.max_viewers),
            events=lambda: self._journal.counts,
            emit=self.emit,
            webrtc=self.settings.webrtc,
            prefer=settings.prefer,
            node=self,
        )

    def _mqtt_client(self) -> "MqttClient | None":
        if self.settings.mqtt is None:
            return None
        from streamsr.mqtt.client import MqttClient

        client = MqttClient(self.settings.mqtt, self.settings.name, self, self.emit)
        self._journal.listeners.append(client.event)
        return client

    def _camera(self, name: str) -> Camera:
        if name not in self._cameras:
            raise UserError(f"camera: got {name!r}, allowed are {', '.join(self._cameras)}")
        return self._cameras[name]

    def _summaries(self, asked: bool) -> list[StreamStatus]:
        """``asked``: it was told to end, and what did not arrive by then is no failure."""
        cameras = self._cameras.values()
        ends = [camera.stream.failure if asked else camera.failure for camera in cameras]
        failures = [failure for failure in ends if failure is not None]
        if failures and len(failures) == len(cameras):
            raise failures[0]
        return [camera.stream.summary or camera.stream.status for camera in cameras]


def _check_stream(settings: StreamSettings, before: StreamSettings | None = None) -> None:
    """Raises what would stop a stream at once; what the one ``before`` it writes may be there."""
    checked = settings
    if before is not None and before.output.path == settings.output.path:
        checked = settings.model_copy(update={"output": OutputSettings()})
    check_settings(checked)
    encoder = settings.encoder
    if encoder.codec != "h264":
        raise UserError(
            f"encoder.codec: got {encoder.codec!r}, allowed is 'h264': it is what viewers and "
            "servers take; a file alone may have another"
        )
    if encoder.low_delay is False:
        raise UserError(
            "encoder.low_delay: got false, allowed is true: viewers, servers and recordings take "
            "frames in their order; a file alone may have it"
        )
    for output in (*settings.publish, settings.hls, settings.record):
        if output is not None:
            check_output(output)


def _scale_of(model: str, folders: Sequence[Path]) -> int | None:
    """A model's scale; None where the source decides. Raises ModelError."""
    return None if model == AUTO else find(model, folders).facts.scale


def _models_of(settings: NodeSettings) -> list[str]:
    """What the command for models may name. Raises ModelError where a card is damaged."""
    folders = sorted({f for s in settings.streams for f in s.model.folders})
    return [AUTO, *sorted({*families(folders), *listing(folders)})]
