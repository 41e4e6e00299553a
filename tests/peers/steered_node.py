"""A node without video for the API: its cameras are what they were last told to be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from streamsr.control.changes import CameraChange, NewCamera, Surroundings, changed, made
from streamsr.control.node_api import CameraState, NodeStatus
from streamsr.core.errors import UserError
from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputState, OutputStatus, StreamState, StreamStatus
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.serve.served import Served

__all__ = ["SteeredNode"]

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4 + b"\xff\xd9"
MODELS = ("auto", "bicubic", "fast")


class SteeredNode:
    """``NodeApi``, and what the web server shows of it."""

    def __init__(self, *streams: StreamSettings, folder: Path | None = None) -> None:
        """``folder``: of recordings that clients may name."""
        self.streams = {stream.name: stream for stream in streams}
        self.served: dict[str, Served] = {name: self._served(name) for name in self.streams}
        self.checks = 0
        self.widths: list[int] = []  # of snapshots
        self._around = Surroundings(MODELS, frozenset([folder] if folder else []))

    def status(self) -> NodeStatus:
        count = len(self.streams)
        return NodeStatus("home", "0.1.0", "2026-11-30T04:00:00.000Z", count, count, "state")

    def cameras(self) -> Mapping[str, CameraState]:
        return {name: self._state(name) for name in self.streams}

    def models(self) -> Sequence[str]:
        return MODELS

    def settings_of(self, camera: str) -> StreamSettings:
        if camera not in self.streams:
            raise UserError(f"camera: got {camera!r}, allowed are {', '.join(self.streams)}")
        return self.streams[camera]

    async def snapshot(self, camera: str, width: int = 0) -> bytes:
        self.widths.append(width)
        if self._state(camera).status.state is not StreamState.LIVE:
            raise TimeoutError
        return JPEG

    async def self_check(self, camera: str) -> None:
        if not self.settings_of(camera).model.self_check_s:
            raise UserError(f"{camera}: model.self_check_s is 0, which leaves self-checks out")
        self.checks += 1

    async def add(self, asked: NewCamera) -> None:
        settings = made(asked, self._around)
        if settings.name in self.streams:
            raise UserError(f"name: got {settings.name!r}, which is another camera's")
        self.streams[settings.name] = settings
        self.served[settings.name] = self._served(settings.name)

    async def change(self, camera: str, asked: CameraChange) -> None:
        self.streams[camera] = changed(self.settings_of(camera), asked, self._around)

    async def remove(self, camera: str) -> None:
        if len(self.streams) == 1:
            raise UserError(f"camera: {camera} is the last one, and a node has one at least")
        del self.streams[camera], self.served[camera]

    def _state(self, name: str) -> CameraState:
        settings = self.streams[name]
        recording = settings.record.enabled if settings.record is not None else None
        return CameraState(self._status(name), settings.enabled, recording, {})

    def _status(self, name: str) -> StreamStatus:
        settings = self.streams[name]
        status = StreamStatus(
            name, StreamState.LIVE, settings.model.name, "cpu", "320x180", "1280x720", fps=25.0
        )
        if not settings.enabled:
            return replace(status, state=StreamState.DISABLED)
        checks = {"made": self.checks}
        return replace(status, self_check_gain_db=1.25, self_checks=checks, wanted="fast")

    def _served(self, name: str) -> Served:
        record = self.streams[name].record
        return Served(
            Broadcaster(lambda tracks: None),
            lambda: self._status(name),
            snapshot=lambda: self.snapshot(name),
            recordings=record.folder if record is not None else None,
            outputs=lambda: [OutputStatus("rtsp-1", "rtsp://***@10.0.0.2/up", OutputState.UP)],
        )
