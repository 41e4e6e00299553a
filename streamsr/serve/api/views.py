"""What the API shows and takes: typed, so that its document is made of it."""

from typing import Annotated

from pydantic import Field, JsonValue

from streamsr.core.config import Settings
from streamsr.core.settings.shapes import PlainName
from streamsr.core.status import OutputStatus, StreamStatus

__all__ = ["CameraList", "CameraName", "CameraView", "ModelList", "SelfCheckView"]

CameraName = Annotated[PlainName, Field(examples=["gate"])]


class CameraView(Settings):
    """One camera: what was said of it, and how it stands."""

    name: CameraName
    enabled: bool
    recording: bool | None  # None: it has no group "record"
    url: str  # without its secrets
    model: str  # that was asked for
    size: str | None  # of the result, as it was asked for; None: the device and the source decide
    scale: float | None  # in place of a size
    settings: dict[str, JsonValue]  # all that differs from the defaults, without secrets
    snapshot: bool  # there is a snapshot to be had
    hls: bool  # there is HLS at /hls/NAME/index.m3u8
    recordings: bool  # there is a folder of recordings
    status: StreamStatus
    outputs: tuple[OutputStatus, ...]


class CameraList(Settings):
    """All cameras, in the order of the node's settings."""

    cameras: tuple[CameraView, ...]


class ModelList(Settings):
    """What "model" of a camera may be: "auto", families and models."""

    models: tuple[str, ...]


class SelfCheckView(Settings):
    """What the last self-check of a camera found."""

    model: str  # that was checked: the one that is wanted
    gain_db: float | None  # luma PSNR over bicubic's of frames shrunk and enlarged; None: none
    loses: bool  # it has been worse than bicubic for long
    checks: dict[str, int]  # how many were "made", "skipped" and "failed"
