"""The operations on cameras: what there is, and what changes while the node runs."""

from collections.abc import Mapping, Sequence

from streamsr.control.node_api import NodeApi
from streamsr.core.redact import redact
from streamsr.serve.api.operations import ApiOperation
from streamsr.serve.api.problems import ProblemError
from streamsr.serve.api.views import CameraList, CameraName, CameraView
from streamsr.serve.served import Served

__all__ = ["Cameras"]


class Cameras:
    """The operations below /cameras, but for those on recordings."""

    def __init__(self, node: NodeApi, streams: Mapping[str, Served]) -> None:
        self._node = node
        self._streams = streams

    def operations(self) -> Sequence[ApiOperation]:
        return [
            ApiOperation("GET", "/cameras", self.list),
            ApiOperation("GET", "/cameras/{camera}", self.get),
        ]

    async def list(self) -> CameraList:
        """Lists the cameras, each with its state and outputs."""
        return CameraList(cameras=tuple(self._view(name) for name in self._node.cameras()))

    async def get(self, camera: CameraName) -> CameraView:
        """Shows one camera."""
        self._check(camera)
        return self._view(camera)

    def _view(self, name: str) -> CameraView:
        settings, state = self._node.settings_of(name), self._node.cameras()[name]
        served = self._streams[name]
        return CameraView(
            name=name,
            enabled=state.enabled,
            recording=state.recording,
            url=redact(settings.input.url),
            model=settings.model.name,
            size=settings.output.size,
            scale=settings.output.scale,
            snapshot=served.snapshot is not None,
            hls=served.hls is not None,
            recordings=served.recordings is not None,
            status=state.status,
            outputs=tuple(served.outputs()),
        )

    def _check(self, camera: str) -> None:
        names = sorted(self._node.cameras())
        if camera not in names:
            raise ProblemError(404, where="camera", got=camera, allowed=names)
