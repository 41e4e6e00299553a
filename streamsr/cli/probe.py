"""``probe``: what a source is, and what streamsr would do with it, in one screen."""

import threading
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError
from streamsr.core.events import Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.redact import redact
from streamsr.core.settings import PipelineSettings
from streamsr.media.opening import open_source
from streamsr.media.source import SourceInfo
from streamsr.zoo.loading import choose

__all__ = ["describe", "table"]

MATRICES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M"}
MATRICES |= {9: "BT.2020", 10: "BT.2020"}


def describe(settings: PipelineSettings) -> dict[str, Any]:
    """Open the source, look at its first frame and give what was found.

    Raises InputError or SourceError where there is no picture.
    """
    device = torch.device(pick_device(settings.model.device))
    info, frame, live = _first_frame(settings)
    folders = settings.model.folders
    name = settings.model.name
    entry = choose(device, name, folders)
    scale = entry.facts.scale
    return {
        "input": redact(settings.input.url),
        "live": live,
        "codec": info.codec,
        "pixel_format": info.pixel_format,
        "size": info.size,
        "sample_aspect": str(info.sample_aspect),
        "fps": round(float(info.rate), 3),
        "frames": info.frames,
        "colour": _colour(frame.colour),
        "audio": info.audio_codec or None,
        "model": entry.name,
        "device": str(device),
        "lookahead": entry.facts.lookahead,
        "output": f"{info.width * scale}x{info.height * scale}",
    }


def table(findings: dict[str, Any]) -> Table:
    """The findings for people."""
    result = Table(show_header=False, box=None, pad_edge=False)
    frames = findings["frames"]
    length = f", {frames} frames" if frames else ""
    rows = {
        "source": findings["input"] + (" (live)" if findings["live"] else ""),
        "video": f"{findings['codec']} {findings['pixel_format']}, {findings['size']}, "
        f"{findings['fps']:g} fps{length}",
        "pixel aspect": findings["sample_aspect"],
        "colour": findings["colour"],
        "audio": findings["audio"] or "none",
        "upscaled": f"to {findings['output']} by {findings['model']} on {findings['device']}, "
        f"{findings['lookahead']} frames of lookahead",
    }
    for name, value in rows.items():
        result.add_row(Text(name, "bold"), Text(value))
    return result


def _first_frame(settings: PipelineSettings) -> tuple[SourceInfo, Frame, bool]:
    def ignore(event: Event) -> None:
        """A source that is tried again says so at the end, if it never comes."""

    source = open_source(
        settings.input.url,
        ignore,
        transport=settings.input.transport,
        rate=settings.input.exact_rate,
        live=settings.input.live,
        give_up_s=settings.input.give_up_s,
    )
    stop = threading.Event()
    info: SourceInfo | None = None
    for item in source.items(stop):
        if isinstance(item, SourceInfo):
            info = item
        elif isinstance(item, Frame) and info is not None:
            stop.set()
            return info, item, source.live
    raise InputError(f"input {source.name}: there is no picture in it")


def _colour(tags: ColourTags) -> str:
    span = "full" if tags.full_range else "limited"
    return f"{MATRICES.get(tags.matrix, f'matrix {tags.matrix}')}, {span} range"
