"""``probe``: what a source is, and what streamsr would do with it, in one screen.

It imports torch only once there is a frame: until then a wrong source is refused at once.
"""

import threading
from datetime import timedelta
from typing import Any

from rich.table import Table

from streamsr.cli.terminal import facts_table
from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.redact import redact
from streamsr.core.settings import StreamSettings
from streamsr.media.addresses import InputKind, input_kind, scheme_of
from streamsr.media.source import SourceInfo
from streamsr.plugins.registry import Kind, find
from streamsr.sources.opening import open_source

__all__ = ["describe", "findings_table", "first_frame"]

MATRICES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M"}
MATRICES |= {9: "BT.2020", 10: "BT.2020"}
LOOK_S = 0.5  # at a live source,
SLOW_RATE = 10  # unless it gives fewer frames a second


def describe(settings: StreamSettings) -> dict[str, Any]:
    """Opens the source, looks at its first frame and returns what was found.

    Raises InputError or SourceError where there is no frame.
    """
    info, frame, live = first_frame(settings)
    import torch

    from streamsr.engine.engines import Engines
    from streamsr.media.encoder_options import filled
    from streamsr.pipeline.machine import Machine
    from streamsr.pipeline.selection import Selector, cost_ms

    device = pick_device(settings.model.device)
    with Engines(torch.device(device)) as engines:
        machine = Machine(engines, filled(settings.encoder, low_delay=live))
        selection = Selector(settings, machine, real_time=live).select(info)
        entry, target = selection.entries[0], selection.target
        width, height = target.of(info.width, info.height)
        cores = machine.cores
        cpu_ms = selection.cpu_ms  # of what can wait it is not asked before
        if cpu_ms is None:
            _, cpu_ms = cost_ms(machine, entry, info, (width, height))
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
        "model": entry.name,
        "device": device,
        "lookahead": entry.facts.lookahead,
        "output": f"{width}x{height}",
        "output_sample_aspect": str(info.aspect_of(width, height)),
        "cpu_ms": round(cpu_ms, 1),
        "all_s": round(info.frames * cpu_ms / cores / 1e3, 1) if info.frames and not live else None,
        "why": selection.why,
        "fallback": [fallback.name for fallback in selection.entries[1:]],
    }


def findings_table(findings: dict[str, Any]) -> Table:
    """Returns the findings of ``describe`` for people."""
    frames = findings["frames"]
    length = f", {frames} frames" if frames else ""
    return facts_table(
        {
            "source": findings["input"] + (" (live)" if findings["live"] else ""),
            **({"read by": findings["plugin"]} if findings["plugin"] else {}),
            "video": f"{findings['codec']} {findings['pixel_format']}, {findings['size']}, "
            f"{findings['fps']:g} fps{length}",
            "pixel aspect": findings["sample_aspect"],
            "scan": findings["scan"] or "not looked at",
            "colour": findings["colour"],
            "audio": findings["audio"] or "none",
            "upscaled": f"to {findings['output']} by {findings['model']} on {findings['device']}, "
            f"{findings['lookahead']} frames of lookahead",
            "cost": _cost(findings["cpu_ms"], findings["all_s"]),
            "since": findings["why"],
            "falls back to": ", ".join(findings["fallback"]),
        }
    )


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


def _cost(cpu_ms: float, all_s: float | None) -> str:
    whole = f", all of it about {timedelta(seconds=max(1, round(all_s)))}" if all_s else ""
    return f"{cpu_ms:.0f} CPU ms a frame here{whole}"


def _colour(tags: ColourTags) -> str:
    span = "full" if tags.full_range else "limited"
    return f"{MATRICES.get(tags.matrix, f'matrix {tags.matrix}')}, {span} range"
