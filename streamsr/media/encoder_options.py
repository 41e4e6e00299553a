"""From encoder settings to an open encoder: what is left out, and how libraries name it."""

import os
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.codec import UnknownCodecError
from av.codec.hwaccel import HWAccel

from streamsr.core.errors import OutputError
from streamsr.core.frame import ColourTags, Frame, HdrMetadata
from streamsr.core.settings import EncoderSettings, RecordSettings
from streamsr.media.hardware.encoders import HardwareEncoder
from streamsr.media.pixels import set_colour
from streamsr.media.tone_curve import HDR_TRANSFERS

__all__ = [
    "FORMATS",
    "KINDS",
    "LIBRARIES",
    "RECORDED_BUFFER",
    "Buffer",
    "filled",
    "for_recordings",
    "is_deep",
    "is_for_recordings",
    "open_encoder",
    "usual_kbit_s",
]

KINDS = {"h264": "H.264", "hevc": "HEVC", "vp9": "VP9"}
FORMATS = ("yuv420p", "yuv420p10le")  # of 8 and 10 bits
LIBRARIES = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"}
USUAL_CRF = {"h264": 18, "hevc": 20, "vp9": 24}
LIVE_KBIT_S = 16_000  # at most, where nothing is said
MOST_THREADS = {"h264": 8, "hevc": 4, "vp9": 8}  # of a file's encoder: each holds a frame
KEPT_PRESET = {"h264": "superfast", "hevc": "medium", "vp9": "superfast"}  # of a file: x264 leaves
# a network its cores (9 CPU ms at 720p, medium 50), HEVC is for who asks for it
VP9_PRESETS = {  # libvpx's own words for x264's: its deadline, and how little it tries
    "ultrafast": ("realtime", 8),
    "superfast": ("realtime", 7),
    "veryfast": ("good", 5),
    "faster": ("good", 4),
    "fast": ("good", 3),
    "medium": ("good", 2),
    "slow": ("good", 1),
    "slower": ("good", 0),
    "veryslow": ("best", 0),
}
QUICK = {"ultrafast", "superfast"}  # presets without B-frames: they take a fifth more time
LOOKAHEAD_S = 1  # of a file, at its nominal rate: audio waits for the frames in it
MOST_LOOKAHEAD = {"h264": 20, "hevc": 10, "vp9": 20}  # frames, which a stop has to wait for
RECORDED_KBIT_S = 760  # of 1280x720: 10 GB a day, with the audio and what MP4 adds
RECORDED_GOP_S = 4.0  # at most: a keyframe costs as much as seconds of a quiet scene


@dataclass(frozen=True, slots=True)
class Buffer:
    """How far the rate may stray from ``max_kbit_s``, in seconds of it (H.264, annex C.1)."""

    size_s: float = 1.0
    full_s: float = 0.9  # of it when the first frame comes, which may take as much


RECORDED_BUFFER = Buffer(3.0, 0.6)


def filled(settings: EncoderSettings, *, low_delay: bool = True) -> EncoderSettings:
    """Returns the settings with nothing left out but the limit of a file's rate.

    ``low_delay`` is what holds where they leave it out: true for what is live, false for a file
    that is made of one, whose packets may wait for the frames to come.
    """
    if settings.low_delay is not None:
        low_delay = settings.low_delay
    usual: dict[str, object] = {"preset": KEPT_PRESET[settings.codec], "gop_s": 2.0}
    if low_delay:
        kbit_s = max(LIVE_KBIT_S, settings.kbit_s or 0)
        usual = {"preset": "ultrafast", "gop_s": 1.0, "max_kbit_s": kbit_s}
    if settings.kbit_s is None:
        usual["crf"] = USUAL_CRF[settings.codec]
    left_out = {key: value for key, value in usual.items() if getattr(settings, key) is None}
    return settings.model_copy(update=left_out | {"low_delay": low_delay})


def usual_kbit_s(width: int, height: int) -> int:
    """Returns what a recording's video takes at most where nothing is said: 760 at 1280x720, and
    less a pixel the larger it is."""
    share = float((width * height / (1280 * 720)) ** 0.75)
    return max(100, round(RECORDED_KBIT_S * share))


def for_recordings(settings: RecordSettings, width: int, height: int) -> EncoderSettings:
    """Returns how a recording of frames of that size is coded."""
    return EncoderSettings(
        hardware="off",  # they last, and the CPU's encoder needs fewer bits
        preset=settings.preset,
        crf=settings.crf,
        max_kbit_s=settings.kbit_s or usual_kbit_s(width, height),
        gop_s=max(0.2, min(RECORDED_GOP_S, settings.segment_s)),
        low_delay=True,
    )


def is_for_recordings(encoder: EncoderSettings, settings: RecordSettings) -> bool:
    """Returns whether what is coded by ``encoder``, which is filled, will do as a recording."""
    asked = settings.preset, settings.crf, settings.kbit_s
    return (encoder.preset, encoder.crf, encoder.max_kbit_s) == asked


def open_encoder(
    settings: EncoderSettings,
    first: Frame,
    tags: ColourTags,
    rate: Fraction,
    aspect: Fraction,
    buffer: Buffer,
    hardware: HardwareEncoder | None = None,
) -> av.VideoCodecContext:
    """Opens an encoder of 4:2:0 for frames like ``first``, by settings that are ``filled``.

    It takes frames in yuv420p, or in yuv420p10le where they are to be ``is_deep``. ``hardware`` in
    place of the CPU's. Raises OutputError where it cannot be.
    """
    deep = is_deep(settings, first)
    if tags.transfer in HDR_TRANSFERS and not deep:
        raise OutputError("encoder: got HDR in 8 bits, allowed is HEVC in 10")
    context = _created(settings, hardware)
    context.width, context.height = first.width, first.height
    formats = hardware.formats if hardware else FORMATS
    context.pix_fmt = formats[deep]
    context.time_base = first.time_base
    context.framerate = rate
    context.sample_aspect_ratio = aspect
    context.gop_size = max(1, round((settings.gop_s or 1) * rate))
    # live, slices would cost bits, and cores the network needs
    context.thread_count = 1 if settings.low_delay else _threads(settings)
    set_colour(context, tags)
    parameters = _light(first.hdr) if deep else {}
    context.flags |= av.codec.context.Flags.frame_duration
    if hardware is not None:
        own = hardware.options(settings, rate, lookahead_of(settings, rate))
        context.options = _limit(settings, buffer) | own
    else:
        context.options = {
            **_rate_control(settings, buffer),
            **_structure(settings, rate, parameters),
        }
    try:
        context.open()
    except av.FFmpegError as error:
        raise _cannot_be_made(settings, first, hardware, error.strerror) from None
    if hardware is not None and context.options:  # what it has not taken
        unknown = f"it does not know {', '.join(context.options)}"
        raise _cannot_be_made(settings, first, hardware, unknown)
    return context


def is_deep(settings: EncoderSettings, first: Frame) -> bool:
    """Returns whether frames like ``first`` are coded in 10 bits."""
    return settings.codec == "hevc" and (settings.depth or first.depth) > 8


def lookahead_of(settings: EncoderSettings, rate: Fraction) -> int:
    """Returns how many frames a packet of a file may wait for; of what is live, none."""
    if settings.low_delay:
        return 0
    return min(MOST_LOOKAHEAD[settings.codec], round(LOOKAHEAD_S * rate))


def _created(settings: EncoderSettings, hardware: HardwareEncoder | None) -> av.VideoCodecContext:
    """Raises OutputError where a hardware encoder, or its device, is not there."""
    if hardware is None:
        context = av.CodecContext.create(LIBRARIES[settings.codec], "w")
    else:
        try:
            device = HWAccel(hardware.accelerator) if hardware.accelerator else None
            context = av.CodecContext.create(hardware.ffmpeg_name, "w", device)
        except (av.FFmpegError, UnknownCodecError, NotImplementedError) as error:
            raise OutputError(f"encoder: {hardware.name} cannot be made: {error}") from None
    assert isinstance(context, av.VideoCodecContext)
    return context


def _cannot_be_made(
    settings: EncoderSettings, first: Frame, hardware: HardwareEncoder | None, reason: object
) -> OutputError:
    kind = hardware.name if hardware else KINDS[settings.codec]
    size = f"{first.width}x{first.height}"
    return OutputError(f"encoder: {kind} of {size} cannot be made: {reason}")


def _threads(settings: EncoderSettings) -> int:
    return min(MOST_THREADS[settings.codec], os.cpu_count() or 1)


def _rate_control(settings: EncoderSettings, buffer: Buffer) -> dict[str, str]:
    options = {"preset": str(settings.preset)} if settings.codec != "vp9" else {"b": "0"}
    if settings.kbit_s is not None:
        options["b"] = f"{settings.kbit_s}k"
    else:
        options["crf"] = str(settings.crf)
    return options | _limit(settings, buffer)


def _limit(settings: EncoderSettings, buffer: Buffer) -> dict[str, str]:
    """What any encoder calls the limit of its rate."""
    kbit_s = settings.max_kbit_s
    if kbit_s is None:
        return {}
    size, full = (f"{round(kbit_s * seconds)}k" for seconds in (buffer.size_s, buffer.full_s))
    return {"maxrate": f"{kbit_s}k", "bufsize": size, "rc_init_occupancy": full}


def _structure(
    settings: EncoderSettings, rate: Fraction, parameters: dict[str, str]
) -> dict[str, str]:
    """How frames depend on each other, and how long a packet waits for frames to come.

    ``parameters`` are what else is said in the library's own words.
    """
    if settings.codec == "vp9":
        return _vp9(settings, rate)
    options = {"forced-idr": "1"}
    if settings.codec == "hevc":
        # the threads of its pool are niced: beside a network, or any load, they hardly run
        parameters = {"log-level": "error", "pools": "none", **parameters}
    if settings.low_delay:
        options["tune"] = "zerolatency"
    else:
        lookahead = lookahead_of(settings, rate)
        options["bf"] = str(0 if settings.preset in QUICK else min(3, lookahead // 3))
        # x265 wants more of a lookahead than there are B-frames
        parameters = {**parameters, "rc-lookahead": str(max(lookahead, 1))}
    if parameters:
        text = ":".join(f"{key}={value}" for key, value in parameters.items())
        options["x264-params" if settings.codec == "h264" else "x265-params"] = text
    return options


def _vp9(settings: EncoderSettings, rate: Fraction) -> dict[str, str]:
    deadline, speed = VP9_PRESETS[str(settings.preset)]
    ahead = lookahead_of(settings, rate)
    options = {"deadline": deadline, "cpu-used": str(speed), "row-mt": "1", "tile-columns": "2"}
    return options | {"lag-in-frames": str(ahead)}


def _light(said: HdrMetadata | None) -> dict[str, str]:
    """What a stream of HDR says of its light, for x265: SMPTE ST 2086, CTA-861.3."""
    parameters = {}
    if said is not None and said.points and said.luminance:
        red, green, blue, white = (
            "({},{})".format(*said.points[at : at + 2]) for at in range(0, 8, 2)
        )
        least, most = said.luminance
        parameters["master-display"] = f"G{green}B{blue}R{red}WP{white}L({most},{least})"
    if said is not None and said.content_light:
        parameters["max-cll"] = "{},{}".format(*said.content_light)
    return parameters
