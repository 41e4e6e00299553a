"""A node without video, whose cameras do at once what they are told."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamsr.control.changes import CameraChange, NewCamera
from streamsr.control.node_api import CameraState
from streamsr.core.errors import ModelError, StreamsrError, UserError
from streamsr.core.status import OutputState, OutputStatus, StreamState, StreamStatus

__all__ = ["JPEG", "FakeNode", "camera_state", "stream_status"]

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"


def stream_status(name: str = "yard", **changes: Any) -> StreamStatus:
    status = StreamStatus(
        name=name,
        state=StreamState.LIVE,
        model="fast",
        device="cpu",
        input="320x180",
        output="1280x720",
        frames_in=100,
        frames_out=90,
        frames_dropped=10,
        dropped_by={"late": 7, "full": 3},
        fps=25.0,
        latency_p50_ms=80.0,
        latency_p99_ms=120.5,
        reconnects=2,
        wanted="fast",
    )
    return replace(status, **changes)


def camera_state(name: str = "yard", recording: bool | None = False, **changes: Any) -> CameraState:
    outputs = {"rtsp-1": OutputStatus("rtsp-1", "rtsp://***@10.0.0.2/yard", OutputState.UP)}
    return CameraState(stream_status(name, **changes), True, recording, outputs)


class FakeNode:
    """``NodeApi``, with state that changes as commanded."""

    def __init__(self, *names: str) -> None:
        self.states = {name: camera_state(name) for name in names or ("yard",)}
        self.commands: list[tuple[str, str, Any]] = []  # in the order they were carried out
        self.switch_allowed = asyncio.Event()  # a switch of models waits for it
        self.switch_allowed.set()
        self.reads = 0  # how often its cameras were listed
        self.damage = ""  # why its models cannot be listed

    def cameras(self) -> Mapping[str, CameraState]:
        self.reads += 1
        return dict(self.states)

    def models(self) -> Sequence[str]:
        if self.damage:
            raise ModelError(self.damage)
        return ["edvr-m", "fast", "broken"]

    async def enable(self, camera: str, on: bool) -> None:
        self.commands.append((camera, "enable", on))
        self._change(camera, enabled=on, state=StreamState.LIVE if on else StreamState.DISABLED)

    async def use_model(self, camera: str, model: str) -> None:
        self.commands.append((camera, "model", model))
        await self.switch_allowed.wait()
        if model == "broken":
            raise ModelError("model broken: the weights at rtsp://me:p@ss/w%rd:#1@x are damaged")
        self._change(camera, model=model, wanted=model)

    async def record(self, camera: str, on: bool) -> None:
        self.commands.append((camera, "record", on))
        if self.states[camera].recording is None:
            raise UserError("no recorder is configured")
        self._change(camera, recording=on)

    async def add(self, asked: NewCamera) -> None:
        if asked.name in self.states:
            raise UserError(f"name: got {asked.name!r}, which is another camera's")
        self.commands.append((asked.name, "add", asked.url))
        self.states[asked.name] = camera_state(asked.name)

    async def change(self, camera: str, asked: CameraChange) -> None:
        self.commands.append((camera, "change", asked.model))
        self._change(camera, wanted=asked.model)

    async def remove(self, camera: str) -> None:
        self.commands.append((camera, "remove", ""))
        del self.states[camera]

    async def size(self, camera: str, size: str) -> None:
        self.commands.append((camera, "size", size))
        self._change(camera, size=size)

    async def self_check(self, camera: str) -> None:
        self.commands.append((camera, "self_check", ""))
        self._change(camera, self_check_gain_db=1.5)

    async def snapshot(self, camera: str, width: int = 0) -> bytes:
        self.commands.append((camera, "snapshot", ""))
        if self.states[camera].status.state is not StreamState.LIVE:
            raise StreamsrError("there is no frame now")
        return JPEG

    def _change(self, name: str, **changes: Any) -> None:
        camera = self.states[name]
        keys = "enabled", "recording", "size"
        own = {key: changes.pop(key) for key in keys if key in changes}
        self.states[name] = replace(camera, status=replace(camera.status, **changes), **own)
