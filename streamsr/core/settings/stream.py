"""What may be said of one stream, from its source to its outputs."""

import math
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from streamsr.core.config import FilePath, Name, Settings, Text, Url
from streamsr.core.errors import nearest
from streamsr.core.settings.rates import exact_rate
from streamsr.core.settings.shapes import HardwareName, PlainName
from streamsr.core.target_size import TargetSize

__all__ = [
    "PUBLISH_SCHEMES",
    "EncoderSettings",
    "HlsSettings",
    "InputSettings",
    "LimitSettings",
    "ModelSettings",
    "OutputSettings",
    "PublishSettings",
    "Quality",
    "RecordSettings",
    "SinkSettings",
    "StreamSettings",
]

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]  # of x264 and x265
PUBLISH_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps")
OWN_NAMES = ("hls", "record")  # of the outputs of which there is one
MAX_S = 1e9  # thirty years


def repeated(names: Sequence[str]) -> str | None:
    """Returns a name that stands there twice, the first of such by the alphabet."""
    return min((name for name in names if names.count(name) > 1), default=None)


class InputSettings(Settings):
    """Where the frames come from."""

    url: Url  # an address, a file, a folder of images, "-" (stdin), "demo", or "whip"
    transport: Literal["tcp", "udp"] = "tcp"  # of RTSP
    rate: str = "25"  # frames a second, of a folder of images: a number, or as 24000/1001
    audio_from: FilePath | None = None  # a file whose audio goes under a folder of images
    video: int | None = Field(default=None, ge=0)  # which of several, from 0; left out: the default
    audio: int | Literal["all"] = "all"  # likewise; "all": viewers get the default, files all
    live: bool | None = None  # reconnect indefinitely; left out: as the address suggests
    give_up_s: float | None = Field(default=None, gt=0, le=MAX_S)  # where it never opens
    follow: bool = False  # a file that still grows, until it has not grown for follow_s
    follow_s: float = Field(default=10.0, ge=0.1, le=86_400)
    max_gap_s: float | None = Field(default=None, ge=1, le=21_600)  # that is kept, of a file
    deinterlace: Literal["auto", "off", "frame", "field"] = "auto"  # field: a frame of each field

    @field_validator("audio", mode="before")
    @classmethod
    def _is_audio(cls, value: object) -> object:
        if value != "all" and not (type(value) is int and value >= 0):
            raise ValueError("allowed is all, or a number from 0")
        return value

    @field_validator("rate", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return str(value) if type(value) in (int, float) else value  # as `rate = 25` reads in TOML

    @field_validator("rate")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        exact_rate(value)
        return value

    @property
    def exact_rate(self) -> Fraction:
        return exact_rate(self.rate)


class Quality(StrEnum):
    """How much time a frame is given."""

    AUTO = "auto"  # best of or into a folder of images, usual for all else
    USUAL = "usual"  # one pass of the network
    BEST = "best"  # several, averaged: of what need not be real time


class ModelSettings(Settings):
    """What upscales them, and on what."""

    name: Name = "auto"  # a family, a model, or the path of its folder; auto: as the source suits
    device: Text = "auto"  # auto, cpu or cuda:N
    precision: Literal["float32", "bfloat16", "int8"] | None = None  # left out: the quickest here
    memory_mb: int | None = Field(default=None, ge=64, le=1 << 24)  # of a CPU's, for its network
    quality: Quality = Quality.AUTO
    denoise: float | None = Field(default=None, ge=0, le=1)  # of a file: how much is restored
    folders: tuple[FilePath, ...] = ()  # more folders of models
    budget_ms: int = Field(default=500, ge=50, le=60_000)  # latency that live frames may have
    fallback: tuple[Name, ...] = ("bicubic",)  # models to fall back to when it cannot be held
    self_check_s: float = Field(default=60.0, ge=0, le=86_400)  # between self-checks; 0: none

    @model_validator(mode="after")
    def _denoised_by_its_own(self) -> "ModelSettings":
        if self.denoise is not None and self.name != "auto":
            raise ValueError(f"denoise: got the model {self.name} too, allowed is auto with it")
        return self


class EncoderSettings(Settings):
    """How frames are coded. What is left out: ``media/encoder_options.py``."""

    hardware: HardwareName = "auto"  # "off", or a name as h264_nvenc
    codec: Literal["h264", "hevc", "vp9"] = "h264"  # hevc: of a file alone; vp9: of .webm
    depth: Literal[8, 10] | None = None  # bits of a sample; left out: of hevc as the input's
    preset: Preset | None = None
    crf: int | None = Field(default=None, ge=0, le=51)  # constant quality: lower is better
    kbit_s: int | None = Field(default=None, ge=50, le=400_000)  # mean, in place of crf
    max_kbit_s: int | None = Field(default=None, ge=100, le=400_000)  # at no moment more
    gop_s: float | None = Field(default=None, ge=0.2, le=10)  # seconds between keyframes
    low_delay: bool | None = None  # packets leave with their frames; false: of a file alone

    @model_validator(mode="after")
    def _goes_together(self) -> "EncoderSettings":
        if self.crf is not None and self.kbit_s is not None:
            raise ValueError(f"allowed is crf or kbit_s, not both: got {self.crf}, {self.kbit_s}")
        if self.depth == 10 and self.codec != "hevc":
            raise ValueError("depth: got 10, allowed is 8 with the codec h264, 8 and 10 with hevc")
        if self.hardware not in ("auto", "off") and not self.hardware.startswith(f"{self.codec}_"):
            allowed = f"auto, off or one for {self.codec}, as {self.codec}_nvenc"
            raise ValueError(f"hardware: got {self.hardware}, allowed is {allowed}")
        if (self.kbit_s or 0) > (self.max_kbit_s or math.inf):
            raise ValueError(f"kbit_s: got {self.kbit_s}, allowed is max_kbit_s, {self.max_kbit_s}")
        return self


class OutputSettings(Settings):
    """The size of the result, and a file or a folder for it."""

    size: str | None = None  # "720p", "1080p", "4k", WIDTHxHEIGHT as a box to fit into, or HEIGHT
    scale: float | None = None  # in place of a size; without either, the device and input decide
    path: FilePath | None = None  # NAME.mp4, .mkv, .mov, .webm, .ts, "-" (stdout), or a folder
    overwrite: bool = False
    compare: Literal["side", "split"] | None = (
        None  # before and after in one: twice as wide, halves
    )
    labels: bool = False  # that say which is which

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
    def _goes_together(self) -> "OutputSettings":
        TargetSize.parse(self.size, self.scale)
        if self.labels and self.compare is None:
            raise ValueError("labels: got true, allowed is it with compare: side or split")
        return self

    @property
    def target(self) -> TargetSize | None:
        """What size the result has; None where nothing is said of it."""
        return TargetSize.parse(self.size, self.scale)


class PublishSettings(Settings):
    """The result as a stream on a server, for other software to read."""

    url: Url  # rtsp:// rtsps:// rtmp:// rtmps://
    name: PlainName | None = None  # in MQTT, metrics and the API
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

    @property
    def kind(self) -> str:
        """What speaks to the server: "rtsp" or "rtmp"."""
        return self.url[:4].lower()


class SinkSettings(Settings):
    """The result to somebody else's code: a sink that is installed, or that a program registers."""

    url: Url  # SCHEME://…: the scheme is the sink's name, the rest is for it to read

    @field_validator("url")
    @classmethod
    def _has_scheme(cls, value: str) -> str:
        if not urlsplit(value).scheme or "://" not in value:
            raise ValueError("allowed is SCHEME://…, the scheme being the name of a sink")
        return value


class HlsSettings(Settings):
    """The result as HLS in fMP4 segments, which [serve] offers at /hls/NAME/index.m3u8."""

    folder: FilePath | None = None  # for playlist and segments in files too, without low latency
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
    preset: Preset = "superfast"
    crf: int = Field(default=24, ge=0, le=51)  # constant quality, where kbit_s suffices for it
    kbit_s: int | None = Field(default=None, ge=100, le=400_000)  # left out: media/encoder_options
    audio: bool = True


class LimitSettings(Settings):
    """When to stop by itself; left out: at the end of the input, or when interrupted."""

    frames: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0, le=MAX_S)


class StreamSettings(Settings):
    """One stream, from its source to its outputs."""

    name: PlainName = "stream"
    enabled: bool = True  # from the start; MQTT switches it
    input: InputSettings
    model: ModelSettings = ModelSettings()
    encoder: EncoderSettings = EncoderSettings()
    output: OutputSettings = OutputSettings()
    publish: tuple[PublishSettings, ...] = ()
    sinks: tuple[SinkSettings, ...] = ()
    hls: HlsSettings | None = None
    record: RecordSettings | None = None
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _container_holds_codec(self) -> "StreamSettings":
        is_webm, codec = _is_webm(self.output.path), self.encoder.codec
        if is_webm and "codec" not in self.encoder.model_fields_set:
            codec = "vp9"  # there is no other, which need not be said
            object.__setattr__(self, "encoder", self.encoder.model_copy(update={"codec": codec}))
        if is_webm != (codec == "vp9"):
            got = "a .webm" if is_webm else "no .webm"
            allowed = "vp9" if is_webm else "h264 and hevc"
            raise ValueError(f"encoder.codec: got {codec} of {got}, allowed is {allowed}")
        return self

    @property
    def publish_names(self) -> tuple[str, ...]:
        """The name of each of ``publish``: as it says, or of its kind and place, as rtsp-1."""
        servers = enumerate(self.publish, 1)
        return tuple(server.name or f"{server.kind}-{number}" for number, server in servers)

    @model_validator(mode="after")
    def _output_names_differ(self) -> "StreamSettings":
        names = [*OWN_NAMES, *self.publish_names]
        twice = repeated(names)
        if twice:
            raise ValueError(
                f"publish: got the name {twice!r} twice, each output needs one of its own, "
                f"{' and '.join(OWN_NAMES)} have theirs"
            )
        return self


def _is_webm(path: object) -> bool:
    return path is not None and str(path).lower().endswith(".webm")
