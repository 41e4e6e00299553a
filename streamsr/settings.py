"""What a pipeline or node file may say: ``pipelines/reference.toml`` shows every setting.

Secrets come from the environment or from files of their own.
"""

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from streamsr.config import Settings, nearest

__all__ = [
    "EncoderSettings",
    "HlsSettings",
    "InputSettings",
    "LimitSettings",
    "ModelSettings",
    "MqttSettings",
    "NodeSettings",
    "OutputSettings",
    "PipelineSettings",
    "PublishSettings",
    "RecordSettings",
    "ServeSettings",
    "StreamSettings",
]

PUBLISH_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps")
NAME = r"^[A-Za-z0-9_-]{1,64}$"


def _filled_in(url: str) -> str:
    """Put the environment's values, percent-encoded, in the place of each ``${NAME}``."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ValueError(f"the environment variable {name} is not set")
        return quote(os.environ[name], safe="")

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, url)


Url = Annotated[str, Field(min_length=1), AfterValidator(_filled_in)]


class InputSettings(Settings):
    """Where the pictures come from."""

    url: Url  # an address, a file, a folder of PNG frames, or "demo"
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
    budget_ms: int = Field(default=500, ge=50, le=60_000)  # latency that live frames may have
    ladder: tuple[str, ...] = ("bicubic",)  # models to step down to when it cannot be held


class EncoderSettings(Settings):
    """H.264 by x264, made to leave at once: no B-frames, no lookahead, one slice a picture."""

    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = "ultrafast"
    crf: int = Field(default=18, ge=0, le=51)  # constant quality: lower is better and larger
    max_kbit_s: int = Field(default=16_000, ge=100, le=200_000)  # where the scene would need more
    gop_s: float = Field(default=1.0, ge=0.2, le=10)  # seconds between keyframes


class OutputSettings(Settings):
    """A file or a folder for the result."""

    path: Path | None = None  # NAME.mp4, NAME.mkv, or a folder for PNG frames
    overwrite: bool = False


class PublishSettings(Settings):
    """The result as a stream on a server, for other software to read."""

    url: Url  # rtsp:// rtsps:// rtmp:// rtmps://
    transport: Literal["tcp", "udp"] = "tcp"  # of RTSP
    sound: bool = True

    @field_validator("url")
    @classmethod
    def _has_scheme(cls, value: str) -> str:
        scheme = urlsplit(value).scheme.lower()
        if scheme not in PUBLISH_SCHEMES:
            hint = nearest(scheme, PUBLISH_SCHEMES)
            raise ValueError(f"allowed are {', '.join(f'{s}://' for s in PUBLISH_SCHEMES)}{hint}")
        return value


class HlsSettings(Settings):
    """The result as HLS in fMP4 segments, which [serve] offers at /hls/NAME/index.m3u8."""

    folder: Path | None = None  # for playlist and segments; left out: a temporary one
    segment_s: float = Field(default=2.0, ge=0.5, le=30)  # cut at the keyframe that follows
    segments: int = Field(default=6, ge=3, le=1000)  # in the playlist
    sound: bool = True


class RecordSettings(Settings):
    """The result in MP4 files, split by time, the oldest removed as age and room demand."""

    folder: Path  # of NAME-20261124T120000Z.mp4 and so on
    enabled: bool = True  # from the start; MQTT switches it
    segment_s: float = Field(default=600.0, ge=1, le=86_400)
    keep_days: float | None = Field(default=None, gt=0)  # left out: for ever
    min_free_gb: float = Field(default=1.0, ge=0)  # 10^9 bytes; the oldest files go to keep it
    sound: bool = True


class ServeSettings(Settings):
    """A page with the picture before and after, and WHEP for any player."""

    listen: str = "127.0.0.1:8080"  # HOST:PORT; port 0 picks a free one
    max_viewers: int = Field(default=8, ge=1, le=100)
    token_file: Path | None = None  # its first line; left out: STREAMSR_TOKEN of the environment
    tls_certificate: Path | None = None  # PEM, the chain in it
    tls_key: Path | None = None  # PEM

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("allowed is HOST:PORT, as in 127.0.0.1:8080, the port 0 to 65535")
        return value

    @model_validator(mode="after")
    def _has_both(self) -> "ServeSettings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: got one of them")
        return self

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class MqttSettings(Settings):
    """The broker that a node is steered and watched over."""

    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)  # left out: 1883, with TLS 8883
    username: str | None = None
    password_file: Path | None = None  # first line; left out: STREAMSR_MQTT_PASSWORD, if set
    tls: bool = False
    ca_file: Path | None = None  # PEM; left out: the system's authorities
    prefix: str = Field(default="streamsr", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    discovery: bool = True  # by Home Assistant
    discovery_prefix: str = Field(default="homeassistant", pattern=r"^[A-Za-z0-9_-]+$")
    interval_s: float = Field(default=5.0, ge=1, le=3600)  # between metrics
    keepalive_s: int = Field(default=5, ge=2, le=600)  # a frozen broker is noticed after two


class LimitSettings(Settings):
    """When to stop by itself; left out: at the end of the input, or when interrupted."""

    frames: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)


class StreamSettings(Settings):
    """One stream, from its source to its outputs."""

    name: str = Field(default="stream", pattern=NAME)
    enabled: bool = True  # from the start; MQTT switches it
    input: InputSettings
    model: ModelSettings = ModelSettings()
    encoder: EncoderSettings = EncoderSettings()
    output: OutputSettings = OutputSettings()
    publish: tuple[PublishSettings, ...] = ()
    hls: HlsSettings | None = None
    record: RecordSettings | None = None
    limits: LimitSettings = LimitSettings()


class NodeSettings(Settings):
    """A file for ``streamsr node``: many streams, and who watches and steers them."""

    name: str = Field(default="node", pattern=NAME)  # in MQTT's topics
    serve: ServeSettings | None = None
    mqtt: MqttSettings | None = None
    streams: tuple[StreamSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "NodeSettings":
        names = [stream.name for stream in self.streams]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"streams: got the name {twice[0]!r} twice, each needs one of its own")
        return self


class PipelineSettings(StreamSettings):
    """A file for ``streamsr run``: one stream, and who watches and steers it."""

    serve: ServeSettings | None = None
    mqtt: MqttSettings | None = None

    @property
    def needs_node(self) -> bool:
        """Whether there is more to do than to write a file."""
        return bool(self.serve or self.mqtt or self.publish or self.hls or self.record)

    def as_node(self) -> NodeSettings:
        """The node of this stream alone, of the same name."""
        groups = {name: getattr(self, name) for name in StreamSettings.model_fields}
        stream = StreamSettings.model_construct(**groups)
        return NodeSettings.model_construct(
            name=self.name, serve=self.serve, mqtt=self.mqtt, streams=(stream,)
        )
