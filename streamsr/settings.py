"""What a pipeline file may say: ``pipelines/reference.toml`` shows every setting."""

from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from streamsr.config import Settings
from streamsr.media.settings import EncoderSettings

__all__ = [
    "InputSettings",
    "LimitSettings",
    "ModelSettings",
    "OutputSettings",
    "PipelineSettings",
    "ServeSettings",
]


class InputSettings(Settings):
    """Where the pictures come from."""

    url: str = Field(min_length=1)  # an address, a file, a folder of PNG frames, or "demo"
    transport: Literal["tcp", "udp"] = "tcp"  # of RTSP
    rate: float = Field(default=25.0, gt=0, le=240)  # pictures a second of a folder of PNG frames
    live: bool | None = None  # reconnect for ever; left out: as the address's scheme suggests
    give_up_s: float | None = Field(default=None, gt=0)  # for a live source that never opens

    @property
    def exact_rate(self) -> Fraction:
        return Fraction(self.rate).limit_denominator(1001)


class ModelSettings(Settings):
    """What upscales them, and on what."""

    name: str = Field(default="fast", min_length=1)  # of a model, or the path of its folder
    device: str = "auto"  # auto, cpu or cuda:N
    folders: tuple[Path, ...] = ()  # more folders of models


class OutputSettings(Settings):
    """A file or a folder for the result."""

    path: Path | None = None  # NAME.mp4, NAME.mkv, or a folder for PNG frames
    overwrite: bool = False


class ServeSettings(Settings):
    """A page with the picture before and after, and WHEP for any player."""

    listen: str = "127.0.0.1:8080"  # HOST:PORT; port 0 picks a free one
    max_viewers: int = Field(default=8, ge=1, le=100)

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("allowed is HOST:PORT, as in 127.0.0.1:8080, the port 0 to 65535")
        return value

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class LimitSettings(Settings):
    """When to stop by itself; left out: at the end of the input, or when interrupted."""

    frames: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)


class PipelineSettings(Settings):
    """One stream, from its source to its outputs."""

    name: str = Field(default="stream", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    input: InputSettings
    model: ModelSettings = ModelSettings()
    encoder: EncoderSettings = EncoderSettings()
    output: OutputSettings = OutputSettings()
    serve: ServeSettings | None = None
    limits: LimitSettings = LimitSettings()
