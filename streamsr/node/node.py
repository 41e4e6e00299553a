"""The main process: workers supervised, their packets served and published, MQTT listened to."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from streamsr.core.devices import pick_device
from streamsr.core.errors import ConfigError, UserError
from streamsr.core.events import Code, Event, EventLog
from streamsr.core.redact import redact
from streamsr.core.settings import NodeSettings, OutputSettings, StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.mqtt.client import MqttClient
from streamsr.mqtt.credentials import check_mqtt
from streamsr.mqtt.node_api import CameraState
from streamsr.node.camera import NodeCamera
from streamsr.node.worker_process import WorkerProcess
from streamsr.outputs.target import check_output
from streamsr.pipeline.check import check_settings
from streamsr.serve.app import Server
from streamsr.serve.credentials import make_tls, read_token
from streamsr.serve.viewer_session import Served
from streamsr.zoo.registry import find, listing

__all__ = ["Node"]

STOP_S = 3.0  # for streams to deliver what they hold, and for their outputs to finish
LEAVE_S = 0.2  # more for the broker


class Node:
    """Many streams: their workers, who watches them, and who steers them. ``run()`` it once.

    It is what MQTT steers (:class:`~streamsr.mqtt.node_api.NodeApi`).
    """

    def __init__(self, settings: NodeSettings, log: EventLog) -> None:
        """Raises what the user can mend, before anything is started."""
        _check(settings)
        self.settings = settings
        self._log = log
        self._members: dict[str, NodeCamera] = {}
        self.served: dict[str, Served] = {}
        self._workers: dict[str, WorkerProcess] = {}  # by device
        self._tasks: dict[str, asyncio.Task[None]] = {}  # of members, by name
        self._changed = asyncio.Event()  # a member has ended, or the node is to stop
        self._reloading = False
        self._models = _models_of(settings)
        self._mqtt: MqttClient | None = None
        if settings.mqtt is not None:
            self._mqtt = MqttClient(settings.mqtt, settings.name, self, self.emit)
        self._stopping = False

    async def run(self, listening: Callable[[str], None]) -> list[dict[str, Any]]:
        """Run until every stream has ended or ``stop()``; give the streams' summaries.

        ``listening`` is told the page's address as soon as it answers. Raises the first failure
        where every stream has failed, and ConfigError where the address cannot be listened on.
        """
        async with AsyncExitStack() as stack:
            if self.settings.serve is not None:
                server = await stack.enter_async_context(self._server())
                listening(server.url)
            steering = asyncio.create_task(self._mqtt.run(), name="mqtt") if self._mqtt else None
            for settings in self.settings.streams:
                self._begin(self._member_of(settings))
            while (self._tasks or self._reloading) and not self._stopping:
                self._changed.clear()
                await self._changed.wait()
            asked, self._stopping = self._stopping, True
            await self._shut_down(steering)
        return self._summaries(asked)

    def stop(self) -> None:
        """Let every stream deliver what it has read, and end; ``run`` returns."""
        self._stopping = True
        self._changed.set()

    def emit(self, event: Event) -> None:
        """Log an event of the node or of a stream, and publish it."""
        self._log(event)
        if self._mqtt is not None:
            self._mqtt.event(event)

    # what MQTT sees and does

    def cameras(self) -> Mapping[str, CameraState]:
        return {name: member.camera() for name, member in self._members.items()}

    def models(self) -> Sequence[str]:
        return self._models

    async def enable(self, camera: str, on: bool) -> None:
        member = self._member(camera)
        if on and camera not in self._tasks:  # it has ended: it begins anew
            await self._remove(camera)
            member = self._member_of(member.settings)
            self._begin(member)
        await member.stream.enable(on)

    async def use_model(self, camera: str, model: str) -> None:
        member = self._member(camera)
        current = member.settings.model
        scale = find(model, current.folders).facts.scale
        if scale == find(current.name, current.folders).facts.scale:
            member.stream.use_model(model)
            return
        other = current.model_copy(update={"name": model})
        await member.stream.restart(member.settings.model_copy(update={"model": other}))

    async def record(self, camera: str, on: bool) -> None:
        await self._member(camera).record(on)

    async def snapshot(self, camera: str) -> bytes:
        return await self._member(camera).snapshot()

    # what changes while it runs

    async def reload(self, settings: NodeSettings) -> None:
        """Run by other settings: streams that changed start anew, all others go on untouched.

        Raises what is wrong with them, having changed nothing.
        """
        for group in ("name", "serve", "mqtt"):
            if getattr(settings, group) != getattr(self.settings, group):
                raise ConfigError(f"{group}: it changed, which needs a new start of the node")
        known = {s.name: s for s in self.settings.streams}
        changed = [s for s in settings.streams if known.get(s.name) != s or self._failed(s.name)]
        for stream in changed:
            _check_stream(stream, known.get(stream.name))
        kept = {s.name for s in settings.streams} - {s.name for s in changed}
        members = [self._member_of(stream) for stream in changed]
        self._reloading = True
        try:
            self.settings, self._models = settings, _models_of(settings)
            await asyncio.gather(*(self._remove(name) for name in known.keys() - kept))
            if not self._stopping:
                for member in members:
                    self._begin(member)
            await self._end_idle_workers()
        finally:
            self._reloading = False
            self._changed.set()
        names = ", ".join(s.name for s in changed) or "none"
        self._tell(Code.CONFIG_RELOADED, f"streams begun anew: {names}")

    def _failed(self, name: str) -> bool:
        return name in self._members and self._members[name].stream.failure is not None

    def _member_of(self, settings: StreamSettings) -> NodeCamera:
        before = self._members.get(settings.name)
        lives = before.stream.lives if before is not None else 0
        worker = self._worker(pick_device(settings.model.device))
        return NodeCamera(settings, worker, self.emit, lives=lives)

    def _begin(self, member: NodeCamera) -> None:
        name, worker = member.settings.name, member.worker
        worker.streams[name] = member.stream
        self._members[name] = member
        self.served[name] = member.served()
        self._tasks[name] = asyncio.create_task(self._keep(name, member), name=f"stream {name}")

    async def _keep(self, name: str, member: NodeCamera) -> None:
        """Run a member; it stays to be seen when it has ended by itself."""
        try:
            await member.run()
        except Exception as error:  # a fault of ours with one stream must not end the others
            message = f"{type(error).__name__}: {redact(error)}"
            self.emit(Event(Code.STREAM_FAILED, name, message))
        finally:
            self._tasks.pop(name, None)
            self._changed.set()

    async def _remove(self, name: str) -> None:
        member, task = self._members.pop(name), self._tasks.get(name)
        del self.served[name]
        await member.stop()
        if task is not None:
            await task
        member.worker.streams.pop(name, None)

    async def _end_idle_workers(self) -> None:
        idle = [device for device, worker in self._workers.items() if not worker.streams]
        await asyncio.gather(*(self._workers.pop(device).stop() for device in idle))

    def _worker(self, device: str) -> WorkerProcess:
        if device not in self._workers:
            worker = self._workers[device] = WorkerProcess(device, self.emit)
            worker.begin()
        return self._workers[device]

    async def _shut_down(self, steering: asyncio.Task[None] | None) -> None:
        """End streams first, as their workers must deliver what they hold; then all else."""
        if steering is not None:
            steering.cancel()  # it takes leave of the broker meanwhile
        tasks, workers = list(self._tasks.values()), list(self._workers.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*(member.stop() for member in self._members.values()))
                await asyncio.gather(*tasks)
        await asyncio.gather(*(worker.stop() for worker in workers))
        if steering is not None:
            await asyncio.wait({steering}, timeout=LEAVE_S)

    def _server(self) -> Server:
        settings = self.settings.serve
        assert settings is not None
        return Server(
            self.served,
            host=settings.host,
            port=settings.port,
            token=read_token(settings),
            tls=make_tls(settings),
            viewers=settings.max_viewers,
            events=lambda: self._log.counts,
        )

    def _member(self, name: str) -> NodeCamera:
        if name not in self._members:
            raise UserError(f"camera: got {name!r}, allowed are {', '.join(self._members)}")
        return self._members[name]

    def _summaries(self, asked: bool) -> list[dict[str, Any]]:
        """``asked``: it was told to end, and what did not arrive by then is no failure."""
        members = self._members.values()
        streams = [member.stream for member in members]
        ends = [member.stream.failure if asked else member.failure for member in members]
        failures = [failure for failure in ends if failure is not None]
        if failures and len(failures) == len(streams):
            raise failures[0]
        return [stream.summary or _unfinished(stream.status) for stream in streams]

    def _tell(self, code: Code, message: str) -> None:
        self.emit(Event(code, "", message))


def _check(settings: NodeSettings) -> None:
    """Raise what would stop the node at once, before a process is started for it."""
    for stream in settings.streams:
        _check_stream(stream)
    if settings.mqtt is not None:
        check_mqtt(settings.mqtt)
    if settings.serve is not None:
        read_token(settings.serve)
        make_tls(settings.serve)


def _check_stream(settings: StreamSettings, before: StreamSettings | None = None) -> None:
    """Raise what would stop a stream at once; what the one ``before`` it writes may be there."""
    checked = settings
    if before is not None and before.output == settings.output:
        checked = settings.model_copy(update={"output": OutputSettings()})
    check_settings(checked)
    for output in (*settings.publish, settings.hls, settings.record):
        if output is not None:
            check_output(output)


def _models_of(settings: NodeSettings) -> list[str]:
    """What the command for models may name. Raises ModelError where a card is damaged."""
    return sorted(listing(sorted({f for s in settings.streams for f in s.model.folders})))


def _unfinished(status: StreamStatus) -> dict[str, Any]:
    """The summary of a stream whose worker was gone before it could give one."""
    return {
        "name": status.name,
        "frames_in": status.frames_in,
        "frames_out": status.frames_out,
        "frames_dropped": status.frames_dropped,
        "frames_held": 0,
        "fps": status.fps,
        "latency_ms": {"p50": status.latency_p50_ms, "p99": status.latency_p99_ms},
        "model": status.model,
        "device": status.device,
        "reconnects": status.reconnects,
        "input": status.input,
        "output": status.output,
    }
