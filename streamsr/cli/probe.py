"""``probe``: what a source is, and what streamsr would do with it, in one screen.

It imports torch only once there is a frame: until then a wrong source is refused at once.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.redact import redact
from streamsr.core.settings import StreamSettings
from streamsr.media.addresses import InputKind, input_kind, is_folder_output, scheme_of
from streamsr.media.source import SourceInfo
from streamsr.plugins.registry import Kind, find
from streamsr.sources.opening import open_source

if TYPE_CHECKING:
    from streamsr.engine.engines import Engines

__all__ = ["describe", "describe_all", "first_frame"]

MATRICES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M"}
MATRICES |= {9: "BT.2020", 10: "BT.2020"}
LOOK_S = 0.5  # at a live source,
TRIED = 12  # frames of a file, to see how large they become
SLOW_RATE = 10  # unless it gives fewer frames a second


def describe(settings: StreamSettings) -> dict[str, Any]:
    """Opens the source, looks at its first frame and returns what was found.

    Raises InputError or SourceError where there is no frame.
    """
    settings = _with_output(settings)
    info, frame, live = first_frame(settings)
    frames = info.frames if not live else None
    import torch

    from streamsr.engine.engines import Engines

    device = pick_device(settings.model.device)
    with Engines(torch.device(device)) as engines:
        choice = (_live_choice if live else _file_choice)(settings, engines, info)
        width, height = choice.size
        coded = _encoder(settings, info, frame, choice.size, live)
        cores, cpu_ms = engines.cores, choice.cpu_ms
    in_file = frames and coded
    return {
        "input": redact(settings.input.url),
        "plugin": _plugin(settings.input.url),
        "live": live,
        "codec": info.codec,
        "pixel_format": info.pixel_format,
        "size": info.size,
        "sample_aspect": str(info.sample_aspect),
        "fps": round(float(info.rate), 3),
        "frames": info.frames,
        "scan": info.scan or None,
        "colour": _colour(frame.colour),
        "audio": info.audio_codec or None,
        "model": choice.model,
        "device": device,
        "lookahead": choice.lookahead,
        "output": f"{width}x{height}",
        "output_sample_aspect": str(info.aspect_of(*_one_of(settings, choice.size))),
        "cpu_ms": round(cpu_ms, 1),
        "all_s": round(frames * cpu_ms / cores / 1e3, 1) if frames else None,
        "all_bytes": _result_bytes(settings, info, choice.size) if in_file else None,
        "encoder": coded,
        "why": choice.why,
        "fallback": list(choice.fallback),
    }


def _with_output(settings: StreamSettings) -> StreamSettings:
    """Of images whose output nobody names the result is images, too."""
    output = settings.output
    if output.path is not None or not os.path.isdir(settings.input.url):
        return settings
    images = output.model_copy(update={"path": Path("images")})
    return settings.model_copy(update={"output": images})


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a source would be upscaled by."""

    model: str
    lookahead: int
    size: tuple[int, int]  # of the result
    cpu_ms: float  # a frame
    why: str
    fallback: Sequence[str] = ()


def _live_choice(settings: StreamSettings, engines: "Engines", info: SourceInfo) -> _Choice:
    from streamsr.media.encoder_options import filled
    from streamsr.pipeline.build import choose_by
    from streamsr.pipeline.machine import Machine
    from streamsr.pipeline.selection import Selector, cost_ms

    choose_by(settings, engines, real_time=True)  # what it refuses is refused here
    encoder = filled(settings.encoder, low_delay=True)
    machine = Machine(engines, encoder, precision=settings.model.precision)
    selection = Selector(settings, machine, real_time=True).select(info)
    entry, size = selection.entries[0], selection.target.of(info.width, info.height)
    cpu_ms = selection.cpu_ms or cost_ms(machine, entry, info, size)[1]
    names = [fallback.name for fallback in selection.entries[1:]]
    return _Choice(entry.name, entry.facts.lookahead, size, cpu_ms, selection.why, names)


def _file_choice(settings: StreamSettings, engines: "Engines", info: SourceInfo) -> _Choice:
    """What can wait runs every pass of every network that its settings ask for."""
    from streamsr.media.encoder_options import filled
    from streamsr.pipeline.build import choose_by
    from streamsr.pipeline.machine import Machine
    from streamsr.pipeline.selection import cost_ms

    chosen = choose_by(settings, engines, real_time=False)(info, None)
    assert chosen.target is not None  # a selector names it
    width, height = chosen.target.of(info.width, info.height)
    size = (2 * width if settings.output.compare == "side" else width), height
    encoder = filled(settings.encoder, low_delay=False)
    machine = Machine(engines, encoder, precision=settings.model.precision)
    cpu_ms = machine.path_ms(*size)
    for entry, passes in chosen.runs:
        network_ms, _ = cost_ms(machine, entry, info, size)
        cpu_ms += 0.0 if machine.on_gpu else passes * network_ms
    model = chosen.models[0]
    lookahead = model.engine.model.facts.lookahead
    return _Choice(model.name, lookahead, size, cpu_ms, chosen.why)


def first_frame(settings: StreamSettings) -> tuple[SourceInfo, Frame, bool]:
    """Opens the source; returns what it is, its first frame, and whether it is live.

    A live source is looked at for a while, since rows that move say whether it is interlaced.
    Raises InputError where there is no frame in it, and SourceError where a live source fails.
    """
    source = open_source(settings.input, lambda event: None, None)  # what it meets on the way
    stop = threading.Event()
    info: SourceInfo | None = None
    first: Frame | None = None
    for item in source.items(stop):
        if isinstance(item, SourceInfo):
            info = item
        elif isinstance(item, Frame) and info is not None:
            first = first or item
            slow = not source.live or info.rate < SLOW_RATE
            if slow or item.arrived - first.arrived >= LOOK_S:
                stop.set()
                return info, first, source.live
    raise InputError(f"input {source.name}: there is no frame in it")


def _plugin(url: str) -> str | None:
    """Whose code reads an input; None: streamsr's own."""
    return str(find(Kind.SOURCE, scheme_of(url))) if input_kind(url) is InputKind.PLUGIN else None


def describe_all(all_settings: Sequence[StreamSettings]) -> dict[str, Any]:
    """Returns what ``describe`` does of each, the error of those that cannot be read, and sums."""
    files: list[dict[str, Any]] = []
    for settings in all_settings:
        try:
            files.append(describe(settings))
        except Exception as error:  # whatever a file brings about, the others are told
            files.append({"input": redact(settings.input.url), "error": redact(error)})
    return {
        "files": files,
        "failed": [file["input"] for file in files if "error" in file],
        "frames": sum(file.get("frames") or 0 for file in files),
        "all_s": round(sum(file.get("all_s") or 0 for file in files), 1),
        "all_bytes": sum(file.get("all_bytes") or 0 for file in files),
    }


def _one_of(settings: StreamSettings, size: tuple[int, int]) -> tuple[int, int]:
    """The size of before, or of after, where a result of ``size`` has both beside each other."""
    return size[0] // 2 if settings.output.compare == "side" else size[0], size[1]


def _encoder(
    settings: StreamSettings, info: SourceInfo, frame: Frame, size: tuple[int, int], live: bool
) -> str | None:
    """Which encoder codes the result, and why; None of a folder of images.

    Raises OutputError where the hardware that is asked for cannot.
    """
    from streamsr.media.encoder_options import LIBRARIES, filled
    from streamsr.media.hardware.choice import hardware_choice
    from streamsr.media.hardware.request import CodedStream

    path = settings.output.path
    if path is not None and is_folder_output(path):
        return None
    coding = filled(settings.encoder, low_delay=live)
    width, height = (side - side % 2 for side in size)
    aspect = info.aspect_of(*_one_of(settings, (width, height)))
    tags = ColourTags(1, 1, 1) if frame.is_rgb else frame.colour
    stream = CodedStream.of(
        *((width, height), tags),
        depth=frame.depth,
        time_base=frame.time_base,
        rate=info.rate,
        aspect=aspect,
        hdr=frame.hdr is not None,
    )
    return hardware_choice().told(coding, stream, LIBRARIES[coding.codec])


def _result_bytes(settings: StreamSettings, info: SourceInfo, size: tuple[int, int]) -> int:
    """About how large a file's result is: its first frames, scaled plainly and coded as it is."""
    from streamsr.engine.mixed.compare import compared
    from streamsr.engine.resample import resize_frame
    from streamsr.media.encoder import VideoEncoder
    from streamsr.media.encoder_options import filled

    coding = filled(settings.encoder, low_delay=False)
    assert info.frames is not None
    if coding.kbit_s is not None:
        return round(info.frames / info.rate * coding.kbit_s * 125)
    source, stop = open_source(settings.input, lambda event: None), threading.Event()
    frames = (item for item in source.items(stop) if isinstance(item, Frame))
    encoder: VideoEncoder | None = None
    packets: list[int] = []
    for frame in islice(frames, TRIED):
        upscaled, compare = resize_frame(frame, *_one_of(settings, size)), settings.output.compare
        upscaled = upscaled if compare is None else compared(frame, upscaled, compare)
        encoder = encoder or VideoEncoder(coding, upscaled, info.rate, Fraction(1))
        packets += [packet.size for packet in encoder.encode(upscaled)]
    stop.set()
    packets += [packet.size for packet in encoder.flush()] if encoder is not None else []
    keyframe, *others = packets or [0]
    keyframes = max(1, round(info.frames / info.rate / Fraction(coding.gop_s or 2)))
    other = sum(others) / max(1, len(others))
    return round(keyframes * keyframe + (info.frames - keyframes) * other)


def _colour(tags: ColourTags) -> str:
    span = "full" if tags.full_range else "limited"
    return f"{MATRICES.get(tags.matrix, f'matrix {tags.matrix}')}, {span} range"
