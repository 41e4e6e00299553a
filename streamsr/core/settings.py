"""What a pipeline or node file may say: ``pipelines/reference.toml`` shows every setting.

Secrets come from the environment or from files of their own.
"""

import math
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from streamsr.core.config import FilePath, Name, Settings, Text, Url, nearest
from streamsr.core.target_size import TargetSize

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

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]  # of x264 and x265
PUBLISH_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps")
NAME = r"^[A-Za-z0-9_-]{1,64}$"
MAX_S = 1e9  # thirty years


class InputSettings(Settings):
    """Where the frames come from."""

    url: Url  # an address, a file, a folder of PNG frames, "-" (stdin), or "demo"
    transport: Literal["tcp", "udp"] = "tcp"  # of RTSP
    rate: float = Field(default=25.0, ge=0.01, le=240)  # frames a second, of a folder of PNGs
    live: bool | None = None  # reconnect indefinitely; left out: as the address's scheme suggests
    give_up_s: float | None = Field(default=None, gt=0, le=MAX_S)  # where it never opens
    follow: bool = False  # a file that still grows, until it has not grown for follow_s
    follow_s: float = Field(default=10.0, ge=0.1, le=86_400)

    @property
    def exact_rate(self) -> Fraction:
        return Fraction(self.rate).limit_denominator(1001)


class ModelSettings(Settings):
    """What upscales them, and on what."""

    name: Name = "auto"  # a family, a model, or the path of its folder; auto: as the source suits
    device: Text = "auto"  # auto, cpu or cuda:N
    folders: tuple[FilePath, ...] = ()  # more folders of models
    budget_ms: int = Field(default=500, ge=50, le=60_000)  # latency that live frames may have
    fallback: tuple[Name, ...] = ("bicubic",)  # models to fall back to when it cannot be held
    self_check_s: float = Field(default=60.0, ge=0, le=86_400)  # between self-checks; 0: none


class EncoderSettings(Settings):
    """How frames are coded. What is left out: ``media/encoder_options.py``."""

    codec: Literal["h264", "hevc"] = "h264"  # hevc: of a file alone
    preset: Preset | None = None
    crf: int | None = Field(default=None, ge=0, le=51)  # constant quality: lower is better
    kbit_s: int | None = Field(default=None, ge=50, le=400_000)  # mean, in place of crf
    max_kbit_s: int | None = Field(default=None, ge=100, le=400_000)  # at no moment more
    gop_s: float | None = Field(default=None, ge=0.2, le=10)  # seconds between keyframes
    low_delay: bool | None = None  # packets leave with their frames: no B-frames, no lookahead

    @model_validator(mode="after")
    def _goes_together(self) -> "EncoderSettings":
        if self.crf is not None and self.kbit_s is not None:
            raise ValueError(f"allowed is crf or kbit_s, not both: got {self.crf}, {self.kbit_s}")
        if (self.kbit_s or 0) > (self.max_kbit_s or math.inf):
            raise ValueError(f"kbit_s: got {self.kbit_s}, allowed is max_kbit_s, {self.max_kbit_s}")
        return self


class OutputSettings(Settings):
    """The size of the result, and a file or a folder for it."""

    size: str | None = None  # "720p", "1080p", "4k", WIDTHxHEIGHT as a box to fit into, or HEIGHT
    scale: float | None = None  # in place of a size; without either, the device and input decide
    path: FilePath | None = None  # NAME.mp4, NAME.mkv, "-" (stdout), or a folder for PNG frames
    overwrite: bool = False

    @field_validator("size", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return str(value) if type(value) is int else value  # as `size = 720` reads in TOML

    @field_validator("size")
    @classmethod
    def _is_size(cls, value: str | None) -> str | None:
        TargetSize.parse(value, None)
        return value

    @field_validator("scale")
    @classmethod
    def _is_scale(cls, value: float | None) -> float | None:
        TargetSize.parse(None, value)
        return value

    @model_validator(mode="after")
    def _has_one(self) -> "OutputSettings":
        TargetSize.parse(self.size, self.scale)
        return self

    @property
    def target(self) -> TargetSize | None:
        """What size the result has; None where nothing is said of it."""
        return TargetSize.parse(self.size, self.scale)


class PublishSettings(Settings):
    """The result as a stream on a server, for other software to read."""

    url: Url  # rtsp:// rtsps:// rtmp:// rtmps://
    transport: Literal["tcp", "udp"] = "tcp"  # of RTSP
    audio: bool = True
    give_up_s: float | None = Field(default=None, gt=0, le=60)  # all is to arrive, or it fails

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

    folder: FilePath | None = None  # for playlist and segments; left out: a temporary one
    segment_s: float = Field(default=2.0, ge=0.5, le=30)  # cut at the keyframe that follows
    segments: int = Field(default=6, ge=3, le=1000)  # in the playlist
    audio: bool = True


class RecordSettings(Settings):
    """The result in MP4 files, split by time, the oldest removed as age and free space demand."""

    folder: FilePath  # of NAME-20261124T120000Z.mp4 and so on
    enabled: bool = True  # from the start; MQTT switches it
    segment_s: float = Field(default=600.0, ge=1, le=86_400)
    keep_days: float | None = Field(default=None, gt=0, le=36_500)  # left out: indefinitely
    min_free_gb: float = Field(default=1.0, ge=0, le=1e6)  # 10^9 bytes; the oldest files go
    audio: bool = True


class ServeSettings(Settings):
    """A page with the video before and after, and WHEP for any player."""

    listen: Text = "127.0.0.1:8080"  # HOST:PORT; port 0 picks a free one
    max_viewers: int = Field(default=8, ge=1, le=100)
    token_file: FilePath | None = None  # first line; left out: STREAMSR_TOKEN, of the environment
    tls_certificate: FilePath | None = None  # PEM, the chain in it
    tls_key: FilePath | None = None  # PEM

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

    host: Text = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)  # left out: 1883, with TLS 8883
    username: Text | None = None
    password_file: FilePath | None = None  # first line; left out: STREAMSR_MQTT_PASSWORD, if set
    tls: bool = False
    ca_file: FilePath | None = None  # PEM; left out: the system's authorities
    prefix: str = Field(default="streamsr", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    discovery: bool = True  # by Home Assistant
    discovery_prefix: str = Field(default="homeassistant", pattern=r"^[A-Za-z0-9_-]+$")
    interval_s: float = Field(default=5.0, ge=1, le=3600)  # between metrics
    keepalive_s: int = Field(default=5, ge=2, le=600)  # a frozen broker is noticed after two


class LimitSettings(Settings):
    """When to stop by itself; left out: at the end of the input, or when interrupted."""

    frames: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0, le=MAX_S)


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

    @model_validator(mode="after")
    def _outputs_differ(self) -> "NodeSettings":
        _refuse_shared(self.streams)
        return self


def _refuse_shared(streams: Sequence[StreamSettings]) -> None:
    """Raises ValueError where two outputs would write over each other; recordings never do."""
    owners: dict[tuple[str, str], str] = {}
    for stream in streams:
        for output in _outputs(stream):
            if output in owners:
                raise ValueError(
                    f"streams: got the same {output[0]} twice, of {owners[output]!r} and of "
                    f"{stream.name!r}, each needs one of its own"
                )
            owners[output] = stream.name


def _outputs(stream: StreamSettings) -> Iterator[tuple[str, str]]:
    """What a stream alone may write to: the key of the setting, and where to."""
    if stream.output.path is not None:
        yield "output.path", os.path.normpath(stream.output.path)
    if stream.hls is not None and stream.hls.folder is not None:
        yield "hls.folder", os.path.normpath(stream.hls.folder)
    for target in stream.publish:
        scheme, _, rest = target.url.partition("://")
        yield "publish.url", f"{scheme.lower()}://{rest.rpartition('@')[2].rstrip('/')}"


class PipelineSettings(StreamSettings):
    """A file for ``streamsr run``: one stream, and who watches and steers it."""

    serve: ServeSettings | None = None
    mqtt: MqttSettings | None = None

    @model_validator(mode="after")
    def _outputs_differ(self) -> "PipelineSettings":
        _refuse_shared([self])
        return self

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
