"""FFmpeg's hardware encoders: what each needs of a machine, and how it names what settings say.

The names are those of FFmpeg 8 (libavcodec's nvenc.c, qsvenc.c, vaapi_encode.c, amfenc.c,
v4l2_m2m_enc.c); a test holds those of this build against it.
"""

import ctypes
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from glob import glob
from pathlib import Path

import av
import av.codec

from streamsr.core.settings import EncoderSettings

__all__ = ["ENCODERS", "HardwareEncoder", "Wording"]

PRESETS: tuple[str, ...] = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
)
PRESETS += ("veryslow",)


@dataclass(frozen=True, slots=True)
class Wording:
    """How a kind of encoders names what settings say.

    Options hold ``{crf}``, ``{max}`` (kbit/s), ``{bf}`` (B-frames) and ``{ahead}`` (frames of
    lookahead) where those go.
    """

    quality: Mapping[str, str] | None  # of constant quality; None: it keeps a rate alone
    rate: Mapping[str, str]  # of a mean rate
    live: Mapping[str, str]  # of packets that leave with their frames
    kept: Mapping[str, str]  # of files, whose packets may wait
    capped: Mapping[str, str] = field(default_factory=dict)  # of constant quality below a maximum
    always: Mapping[str, str] = field(default_factory=dict)
    preset: str = ""  # the option's name; "": it has none
    presets: Mapping[str, str] = field(default_factory=dict)  # its word for each of x264's


@dataclass(frozen=True, slots=True)
class HardwareEncoder:
    """One of FFmpeg's encoders that runs beside the CPU."""

    name: str  # as `[encoder] hardware` names it
    codec: str  # of the settings
    words: Wording
    devices: tuple[str, ...] = ()  # globs, of which one has to be there
    runtime: str = ""  # the shared library of the driver that FFmpeg loads for it
    versions: tuple[str, ...] = ()  # globs of files that say which device and driver it is
    formats: tuple[str, str] = ("nv12", "p010le")  # of 8 and 10 bits; "": it has none
    accelerator: str = ""  # the kind of device that frames are uploaded to; "": it takes them as is
    library: str = ""  # FFmpeg's name of it; "": the same

    @property
    def ffmpeg_name(self) -> str:
        return self.library or self.name

    def missing(self) -> str:
        """Returns what this machine lacks for it, for people; "" where a trial is worth it."""
        if self.ffmpeg_name not in av.codec.codecs_available:
            return "this FFmpeg has no such encoder"
        found = [path for pattern in self.devices for path in sorted(glob(pattern))]
        if self.devices and not found:
            return f"no device ({', '.join(self.devices)})"
        if found and not any(os.access(path, os.R_OK | os.W_OK) for path in found):
            return f"{found[0]} is not open to this user"
        try:
            ctypes.CDLL(self.runtime) if self.runtime else None
        except OSError:
            return f"its driver's library {self.runtime} cannot be loaded"
        return ""

    def not_held(self, settings: EncoderSettings, deep: bool, hdr: bool) -> str:
        """Returns what it cannot hold of settings that are filled, for people; "" for nothing."""
        if self.words.quality is None and settings.kbit_s is None:
            return "it keeps a rate alone, which kbit_s asks for"
        if hdr:
            return "what HDR says of its light is written by x265 alone"
        return "it has 8 bits alone" if deep and not self.formats[1] else ""

    def options(self, settings: EncoderSettings, rate: Fraction, lookahead: int) -> dict[str, str]:
        """Returns its own options for settings that are filled; limits of the rate are generic.

        ``lookahead``: frames that a file's packets may wait for.
        """
        words = self.words
        chosen = [words.always, words.live if settings.low_delay else words.kept]
        if settings.kbit_s is not None or words.quality is None:
            chosen += [words.rate, {"b": f"{settings.kbit_s}k"}]
        else:
            chosen += [words.quality, words.capped if settings.max_kbit_s is not None else {}]
        quick = settings.preset in PRESETS[:2]  # without B-frames, as of x264
        facts = {
            "crf": max(1, settings.crf or 0),  # 0 is "automatic" to most of them
            "max": settings.max_kbit_s,
            "bf": 0 if quick else min(3, lookahead // 3),
            "ahead": lookahead,
        }
        options = {key: text.format(**facts) for part in chosen for key, text in part.items()}
        if words.preset:
            options[words.preset] = words.presets[str(settings.preset)]
        return options

    def identity(self) -> str:
        """Returns digits that change with FFmpeg, the device and its driver."""
        told = hashlib.sha256(f"{av.library_versions} {platform.release()}".encode())
        for text in self._texts():
            told.update(text)
        return told.hexdigest()[:12]

    def _texts(self) -> Iterator[bytes]:
        for pattern in self.versions:
            for path in sorted(glob(pattern)):
                try:
                    yield Path(path).read_bytes()
                except OSError:
                    yield path.encode()


def _presets(*words: str) -> dict[str, str]:
    return dict(zip(PRESETS, words, strict=True))


NVENC = Wording(
    quality={"rc": "vbr", "cq": "{crf}", "b": "0"},
    rate={"rc": "vbr"},
    live={"tune": "ull", "zerolatency": "1", "delay": "0", "bf": "0", "rc-lookahead": "0"},
    kept={"tune": "hq", "bf": "{bf}", "rc-lookahead": "{ahead}"},
    always={"forced-idr": "1"},
    preset="preset",
    presets=_presets("p1", "p2", "p3", "p3", "p4", "p4", "p5", "p6", "p7"),
)
QSV = Wording(
    quality={"global_quality": "{crf}"},
    capped={"b": "{max}k"},
    rate={},
    live={"async_depth": "1", "bf": "0"},
    kept={"bf": "{bf}"},
    always={"forced_idr": "1"},
    preset="preset",
    presets=_presets(*["veryfast"] * 3, *PRESETS[3:]),
)
VAAPI = Wording(
    quality={"global_quality": "{crf}"},
    capped={"b": "{max}k"},
    rate={},
    live={"async_depth": "1", "bf": "0"},
    kept={"bf": "{bf}"},
    always={"idr_interval": "0"},
)
AMF = Wording(
    quality={"rc": "qvbr", "qvbr_quality_level": "{crf}"},
    capped={"b": "{max}k"},
    rate={"rc": "vbr_peak"},
    live={"usage": "ultralowlatency", "latency": "1", "bf": "0"},
    kept={"usage": "high_quality"},
    always={"forced_idr": "1"},
    preset="quality",
    presets=_presets(*["speed"] * 4, *["balanced"] * 2, *["quality"] * 3),
)
V4L2 = Wording(quality=None, rate={}, live={}, kept={})
BASELINE = {  # of live H.264, as x264's quickest preset makes it: each WebRTC decoder takes it
    "nvenc": "baseline",
    "qsv": "baseline",
    "vaapi": "constrained_baseline",
    "amf": "constrained_baseline",
}

NVIDIA = ("/dev/nvidia[0-9]*", "/dev/dxg")
NVIDIA_VERSIONS = ("/proc/driver/nvidia/version", "/proc/driver/nvidia/gpus/*/information")
RENDER = ("/dev/dri/renderD*",)
RENDER_VERSIONS = ("/sys/class/drm/renderD*/device/vendor", "/sys/class/drm/renderD*/device/device")


def _of(codec: str) -> Iterator[HardwareEncoder]:
    """The encoders of a codec, the best of those that one machine may have first."""

    def words(kind: str, wording: Wording) -> Wording:
        if codec != "h264":
            return wording
        return replace(wording, live={**wording.live, "profile": BASELINE[kind]})

    nvenc, amf = "libnvidia-encode.so.1", "libamfrt64.so.1"
    yield HardwareEncoder(
        f"{codec}_nvenc", codec, words("nvenc", NVENC), NVIDIA, nvenc, NVIDIA_VERSIONS
    )
    yield HardwareEncoder(f"{codec}_qsv", codec, words("qsv", QSV), RENDER, "", RENDER_VERSIONS)
    vaapi = HardwareEncoder(
        f"{codec}_vaapi", codec, words("vaapi", VAAPI), RENDER, "", RENDER_VERSIONS
    )
    yield replace(vaapi, accelerator="vaapi")
    yield HardwareEncoder(f"{codec}_amf", codec, words("amf", AMF), RENDER, amf, RENDER_VERSIONS)
    videos, names = ("/dev/video*",), ("/sys/class/video4linux/*/name",)
    formats = ("yuv420p", "")
    yield HardwareEncoder(f"{codec}_v4l2m2m", codec, V4L2, videos, "", names, formats)


ENCODERS = (*_of("h264"), *_of("hevc"))
