"""A node as control sees it, whose cameras do at once what they are told: no video anywhere."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamsr.core.errors import ModelError, StreamsrError, UserError
from streamsr.core.status import StreamStatus
from streamsr.mqtt import CameraState

__all__ = ["JPEG", "Village", "a_camera", "a_status"]

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"


def a_status(name: str = "yard", **changes: Any) -> StreamStatus:
    status = StreamStatus(
        name,
        "live",
        "fast",
        "cpu",
        "320x180",
        "1280x720",
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


def a_camera(name: str = "yard", recording: bool | None = False, **changes: Any) -> CameraState:
    outputs = {"rtsp://***@10.0.0.2/yard": "up"}
    return CameraState(a_status(name, **changes), True, recording, outputs)


class Village:
    """``NodeApi``, with state that changes as commanded. ``orders`` is what it was told."""

    def __init__(self, *names: str) -> None:
        self.present = {name: a_camera(name) for name in names or ("yard",)}
        self.orders: list[tuple[str, str, Any]] = []
        self.hurdle = asyncio.Event()  # a switch of models waits for it
        self.hurdle.set()
        self.looks = 0  # how often it was asked what there is

    def cameras(self) -> Mapping[str, CameraState]:
        self.looks += 1
        return dict(self.present)

    def models(self) -> Sequence[str]:
        return ["edvr-m", "fast", "broken"]

    async def enable(self, camera: str, on: bool) -> None:
        self.orders.append((camera, "enable", on))
        self._change(camera, enabled=on, state="live" if on else "disabled")

    async def use_model(self, camera: str, model: str) -> None:
        self.orders.append((camera, "model", model))
        await self.hurdle.wait()
        if model == "broken":
            raise ModelError("model broken: the weights at rtsp://me:p@ss/w%rd:#1@x are damaged")
        self._change(camera, model=model, wanted=model)

    async def record(self, camera: str, on: bool) -> None:
        self.orders.append((camera, "record", on))
        if self.present[camera].recording is None:
            raise UserError("no recorder is configured")
        self._change(camera, recording=on)

    async def snapshot(self, camera: str) -> bytes:
        self.orders.append((camera, "snapshot", ""))
        if self.present[camera].status.state != "live":
            raise StreamsrError("there is no picture now")
        return JPEG

    def _change(self, name: str, **changes: Any) -> None:
        camera = self.present[name]
        own = {k: changes.pop(k) for k in ("enabled", "recording") if k in changes}
        self.present[name] = replace(camera, status=replace(camera.status, **changes), **own)
