"""The operations on cameras: what there is, and what changes while the node runs."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from aiohttp import web
from pydantic import Field

from streamsr.control.changes import CameraChange, NewCamera
from streamsr.control.node_api import NodeApi, NodeStatus
from streamsr.core.config import Settings
from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.redact import redact, shown
from streamsr.serve.api.operations import ApiOperation
from streamsr.serve.api.problems import ProblemError
from streamsr.serve.api.views import CameraList, CameraName, CameraView, ModelList, SelfCheckView
from streamsr.serve.served import Served
from streamsr.serve.snapshots import MOST_WIDTHS, Snapshots, TooManyWidthsError

__all__ = ["Cameras"]


class SnapshotQuery(Settings):
    """How a snapshot is sent."""

    width: int = Field(default=0, ge=0, le=8192)  # pixels to shrink it to; 0: as it is


class Cameras:
    """The operations below /cameras, but for those on recordings."""

    def __init__(self, node: NodeApi, streams: Mapping[str, Served], snapshots: Snapshots) -> None:
        self._node = node
        self._streams = streams
        self._snapshots = snapshots

    def operations(self) -> Sequence[ApiOperation]:
        return [
            ApiOperation("GET", "/cameras", self.list),
            ApiOperation("POST", "/cameras", self.add, control=True, status=201),
            ApiOperation("GET", "/cameras/{camera}", self.get),
            ApiOperation("PATCH", "/cameras/{camera}", self.change, control=True),
            ApiOperation(
                "DELETE", "/cameras/{camera}", self.remove, control=True, status=204, media=""
            ),
            ApiOperation("GET", "/cameras/{camera}/snapshot", self.snapshot, media="image/jpeg"),
            ApiOperation("GET", "/cameras/{camera}/self-check", self.checked),
            ApiOperation("POST", "/cameras/{camera}/self-check", self.check, control=True),
            ApiOperation("GET", "/models", self.models),
            ApiOperation("GET", "/node", self.node),
        ]

    async def list(self) -> CameraList:
        """Lists the cameras, each with its state and outputs."""
        return CameraList(cameras=tuple(self._view(name) for name in self._node.cameras()))

    async def get(self, camera: CameraName) -> CameraView:
        """Shows one camera."""
        self._check(camera)
        return self._view(camera)

    async def add(self, body: NewCamera) -> CameraView:
        """Adds a camera, which begins at once."""
        await self._node.add(body)
        return self._view(body.name)

    async def change(self, camera: CameraName, body: CameraChange) -> CameraView:
        """Changes a camera: what is left out stays, what viewers see is interrupted the least."""
        self._check(camera)
        await self._node.change(camera, body)
        return self._view(camera)

    async def remove(self, camera: CameraName) -> None:
        """Ends a camera and removes it; its recordings stay."""
        self._check(camera)
        await self._node.remove(camera)

    async def snapshot(self, camera: CameraName, query: SnapshotQuery) -> web.StreamResponse:
        """Sends the newest frame as JPEG."""
        self._check(camera)
        of, width = self._streams[camera].snapshot, query.width
        take = partial(self._node.snapshot, camera, width)
        try:
            body = await asyncio.shield(self._snapshots.newest(of, width, take))
        except TooManyWidthsError:
            raise ProblemError(
                429,
                where="widths of a camera's snapshots within a second",
                got=MOST_WIDTHS + 1,
                allowed=MOST_WIDTHS,
                headers={"Retry-After": "1"},
            ) from None
        except TimeoutError:
            raise StreamsrError("there is no frame now") from None
        return web.Response(body=body, content_type="image/jpeg")

    async def checked(self, camera: CameraName) -> SelfCheckView:
        """Shows what the last self-check found: how the model compares with bicubic."""
        self._check(camera)
        status = self._node.cameras()[camera].status
        return SelfCheckView(
            model=status.wanted,
            gain_db=status.self_check_gain_db,
            loses=status.self_check_loses,
            checks=dict(status.self_checks),
        )

    async def check(self, camera: CameraName) -> SelfCheckView:
        """Makes a self-check now and shows what it found, within half a minute."""
        self._check(camera)
        try:
            await self._node.self_check(camera)
        except TimeoutError:
            raise StreamsrError(
                "no self-check was made: no frames come, or no network runs"
            ) from None
        return await self.checked(camera)

    async def models(self) -> ModelList:
        """Lists the models that a camera may have."""
        return ModelList(models=tuple(self._node.models()))

    async def node(self) -> NodeStatus:
        """Shows the node itself."""
        return self._node.status()

    def _view(self, name: str) -> CameraView:
        self._check(name)  # others may have removed it meanwhile
        settings, state = self._node.settings_of(name), self._node.cameras()[name]
        served = self._streams[name]
        return CameraView(
            name=name,
            enabled=state.enabled,
            recording=state.recording,
            url=_shown(settings.input.url),
            model=settings.model.name,
            size=settings.output.size,
            scale=settings.output.scale,
            settings=settings.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
            snapshot=served.snapshot is not None,
            hls=served.hls is not None,
            recordings=served.recordings is not None,
            status=state.status,
            outputs=tuple(served.outputs()),
        )

    def _check(self, camera: str) -> None:
        """Raises ProblemError where there is no such camera, or not at this moment."""
        names = sorted(self._node.cameras())
        if camera in names:
            return
        with suppress(UserError):
            self._node.settings_of(camera)
            raise StreamsrError(f"{camera} begins again just now")
        raise ProblemError(404, where="camera", got=camera, allowed=names)


def _shown(url: str) -> str:
    """An address without its secrets; a file is shown as it is."""
    return shown(url) if "://" in url else redact(url)
