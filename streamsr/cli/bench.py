"""``bench``: the whole path from file to file, measured, and where the CPU's time goes."""

import asyncio
import os
import platform
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

from rich.table import Table

from streamsr.core.clock_sync import TICKS
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import (
    EncoderSettings,
    InputSettings,
    ModelSettings,
    OutputSettings,
    StreamSettings,
)
from streamsr.media.demo import Scene
from streamsr.media.encoder import VideoEncoder
from streamsr.media.muxing import FileWriter
from streamsr.media.source import SourceInfo
from streamsr.pipeline.build import open_pipeline

__all__ = ["bench_file", "bench_table"]

BESIDE = "bicubic"  # measured in the same run: plain scaling by the same path


def bench_file(model: ModelSettings, width: int, height: int, frames: int) -> dict[str, Any]:
    """Upscales a clip of the built-in scene by ``model`` and by bicubic; returns both figures."""
    with TemporaryDirectory(prefix="streamsr-bench-") as scratch:
        clip = Path(scratch) / "clip.mp4"
        _write_clip(clip, width, height, frames)
        ours = _measure(clip, model)
        beside = _measure(clip, model.model_copy(update={"name": BESIDE}))
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}",
        "input": f"{width}x{height}",
        "frames": frames,
        "ours": ours,
        "beside": beside,
    }


def bench_table(result: dict[str, Any]) -> Table:
    """Returns each stage's CPU time a frame, and its share, for both models."""
    ours, beside = result["ours"], result["beside"]
    table = Table(
        title=f"{result['input']} x {result['frames']} frames to {ours['output']}, "
        f"{result['machine']}",
    )
    for column in ("stage", f"{ours['model']} ms", "share", f"{beside['model']} ms", "share"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    spent = [
        run["cpu_ms"]
        | {"CPU a frame": run["cpu_ms_total"], "outside network": run["cpu_ms_outside"]}
        for run in (ours, beside)
    ]
    for stage in spent[0]:
        cells = []
        for stages in spent:
            spent_ms = stages.get(stage, 0.0)
            cells += [f"{spent_ms:.2f}", f"{spent_ms / stages['CPU a frame']:.0%}"]
        table.add_row(stage, *cells)
    table.add_row("frames a second", f"{ours['fps']:.1f}", "", f"{beside['fps']:.1f}", "")
    return table


def _measure(clip: Path, model: ModelSettings) -> dict[str, Any]:
    settings = StreamSettings(
        name="bench",
        input=InputSettings(url=str(clip)),
        model=model,
        output=OutputSettings(path=clip.with_name("upscaled.mp4"), overwrite=True),
    )
    with open_pipeline(settings, lambda event: None) as pipeline:  # there is nothing to log
        began_s = process_time()
        summary = asyncio.run(pipeline.run())
        spent_s = process_time() - began_s
    total = spent_s * 1e3 / summary.frames_out
    stages = pipeline.meter.cpu_ms()
    stages["other"] = max(0.0, total - sum(stages.values()))
    return {
        "model": summary.model,
        "device": summary.device,
        "output": summary.output,
        "fps": round(summary.fps, 2),
        "latency_ms": summary.to_json()["latency_ms"],
        "cpu_ms": {name: round(value, 3) for name, value in stages.items()},
        "cpu_ms_total": round(total, 3),
        "cpu_ms_outside": round(total - stages.get("network", 0.0), 3),
    }


def _write_clip(path: Path, width: int, height: int, frames: int) -> None:
    """A clip of the built-in scene, coded as a camera would."""
    scene = Scene(width, height)
    rate = Fraction(scene.rate)
    info = SourceInfo(width, height, rate, Fraction(1), "rawvideo", "yuv420p")
    encoder: VideoEncoder | None = None
    writer = FileWriter(path)
    for number in range(frames):
        pts = round(number / rate / TICKS)
        frame = Frame(scene.frame(number), ColourTags(1, 1, 1), pts, TICKS)
        encoder = encoder or VideoEncoder(EncoderSettings(), frame, rate, Fraction(1))
        for encoded in encoder.encode(frame):
            assert encoded.pts is not None
            packet = Packet(Track.OUTPUT, bytes(encoded), encoded.pts, TICKS, encoded.is_keyframe)
            writer.video(packet, info, (width, height))
    writer.close()
