"""The operation on frames' times: when the newest of them passed the points of their way."""

import time
from collections.abc import Mapping, Sequence

from pydantic import Field

from streamsr.core.config import Settings
from streamsr.ipc.frame_traces import KEPT, PassedFrame
from streamsr.serve.api.operations import ApiOperation
from streamsr.serve.api.problems import ProblemError
from streamsr.serve.api.views import CameraName
from streamsr.serve.served import Served

__all__ = ["Latency"]


class FrameView(Settings):
    """One frame; Unix seconds by the server's clock, but for the camera's own."""

    time_s: float  # of the stream: when it is shown
    captured: float | None  # when its camera took it, by the camera's clock; None: it does not say
    arrived: float  # its last packet
    upscaled: float
    encoded: float
    sent: float  # handed to viewers


class LatencyView(Settings):
    """The newest frames that were sent to viewers or outputs, the oldest of them first."""

    now: float  # Unix seconds by the server's clock, at this answer
    frames: tuple[FrameView, ...]


class LatencyQuery(Settings):
    """How many frames are listed."""

    frames: int = Field(default=KEPT, ge=1, le=KEPT)


class Latency:
    """The operation /cameras/NAME/latency."""

    def __init__(self, streams: Mapping[str, Served]) -> None:
        self._streams = streams

    def operations(self) -> Sequence[ApiOperation]:
        return [ApiOperation("GET", "/cameras/{camera}/latency", self.newest)]

    async def newest(self, camera: CameraName, query: LatencyQuery) -> LatencyView:
        """Shows when the newest frames passed the points of their way, from camera to viewers."""
        if camera not in self._streams:
            raise ProblemError(404, where="camera", got=camera, allowed=sorted(self._streams))
        passed = self._streams[camera].broadcaster.traces.newest(query.frames)
        return LatencyView(now=time.time(), frames=tuple(_view(frame) for frame in passed))


def _view(frame: PassedFrame) -> FrameView:
    return FrameView(
        time_s=float(frame.pts * frame.time_base),
        captured=frame.captured or None,
        arrived=frame.arrived,
        upscaled=frame.upscaled,
        encoded=frame.encoded,
        sent=frame.sent,
    )
