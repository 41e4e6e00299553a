"""``bench``: the whole path from file to file, measured: where the CPU's time goes, and how much of
what this CPU can do the network reaches."""

import asyncio
import os
import platform
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, cast

import torch
from rich.table import Table

from streamsr.cli.cpu_limit import cpu_limit_gmac_s
from streamsr.cli.terminal import shown_fps
from streamsr.core.devices import pick_device
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings, InputSettings, StreamSettings
from streamsr.core.status import StreamStatus
from streamsr.core.target_size import TargetSize
from streamsr.engine.engines import Engines
from streamsr.media.encoder import VideoEncoder
from streamsr.media.muxing import FileWriter
from streamsr.media.source import SourceInfo
from streamsr.pipeline.build import open_pipeline
from streamsr.pipeline.machine import Machine
from streamsr.pipeline.model_choice import Chosen
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.selection import Selector
from streamsr.sources.demo import Scene
from streamsr.sources.timing.clock_sync import TICKS
from streamsr.train.scoring import cost_of
from streamsr.zoo.card import Precision
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import Entry

__all__ = ["bench_file", "bench_table", "write_scene"]

BESIDE = "bicubic"  # measured in the same run: plain scaling by the same path


def bench_file(
    settings: StreamSettings, size: tuple[int, int], frames: int, precision: Precision | None = None
) -> dict[str, Any]:
    """Upscales a clip of the built-in scene, ``size`` wide and high, as ``settings`` say, and by
    bicubic as large, coded as what is live; returns both figures.

    ``precision`` is what the network computes in, left out what a stream would take. Raises
    ModelError and ConfigError.
    """
    with TemporaryDirectory(prefix="streamsr-bench-") as scratch:
        clip = Path(scratch) / "clip.mp4"
        write_scene(clip, *size, frames)
        output = settings.output.model_copy(
            update={"path": clip.with_name("upscaled.mp4"), "overwrite": True}
        )
        as_live = settings.encoder.model_copy(update={"low_delay": True})
        changes = {
            "input": InputSettings(url=str(clip)),
            "output": output,
            "encoder": as_live,  # what streams cost, and what figures before this were
        }
        ours = _measure(settings.model_copy(update=changes), precision)
        changes["output"] = output.model_copy(update={"size": ours["output"], "scale": None})
        changes["model"] = settings.model.model_copy(update={"name": BESIDE})
        beside = _measure(settings.model_copy(update=changes), None)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}",
        "input": f"{size[0]}x{size[1]}",
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
        caption=_caption(ours),
        caption_justify="left",
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
    table.add_row("frames a second", shown_fps(ours["fps"]), "", shown_fps(beside["fps"]), "")
    return table


def _caption(run: dict[str, Any]) -> str:
    ran = f"{run['model']} in {run['precision']}"
    if run["limit_gmac_s"] is None:
        return ran
    return (
        f"{ran}: {run['gmac']:.2f} GMAC a frame, {run['gmac_s']:.0f} a second of CPU time, "
        f"{run['limit_share']:.0%} of the {run['limit_gmac_s']:.0f} of a large convolution"
    )


def _measure(settings: StreamSettings, precision: Precision | None) -> dict[str, Any]:
    entries: list[Entry] = []
    loaded_s: list[float] = []  # CPU seconds by then: loading is not measured
    with Engines(torch.device(pick_device(settings.model.device))) as engines:
        selector = Selector(settings, Machine(engines), real_time=False)

        def choose(info: SourceInfo, kept: TargetSize | None) -> Chosen:
            selection = selector.select(info, kept)
            entry = selection.entries[0]
            entries.append(entry)
            model = LoadedModel(entry.name, engines.load(entry, precision))
            loaded_s.append(process_time())
            return Chosen([model], selection.target, selection.why)

        with open_pipeline(
            settings, lambda event: None, engines=engines, choose=choose
        ) as pipeline:
            summary = asyncio.run(pipeline.run())
            spent_s = process_time() - loaded_s[0]
    total = spent_s * 1e3 / summary.frames_out
    stages = pipeline.meter.cpu_ms()
    stages["other"] = max(0.0, total - sum(stages.values()))
    network_ms = stages.get("network", 0.0)
    return {
        "model": summary.model,
        "precision": summary.precision,
        "device": summary.device,
        "output": summary.output,
        "fps": summary.to_json()["fps"],
        "latency_ms": summary.to_json()["latency_ms"],
        "cpu_ms": {name: round(value, 3) for name, value in stages.items()},
        "cpu_ms_total": round(total, 3),
        "cpu_ms_outside": round(total - network_ms, 3),
        **_reached(entries[0], summary, network_ms),
    }


def _reached(entry: Entry, summary: StreamStatus, network_ms: float) -> dict[str, float | None]:
    """Multiply-adds of a frame, those a second, and what this CPU can do; None of a filter, and of
    what a GPU does."""
    names = ("gmac", "gmac_s", "limit_gmac_s", "limit_share")
    if entry.card.is_filter or summary.device != "cpu":
        return dict.fromkeys(names)
    width, height = map(int, summary.input.split("x"))
    cost = cost_of(make_network(entry.card), entry.facts)
    gmac = cost.macs * width * height / 1e9
    reached, limit = gmac / network_ms * 1e3, cpu_limit_gmac_s(cast(Precision, summary.precision))
    values = (gmac, reached, limit, reached / limit)
    return {name: round(value, 3) for name, value in zip(names, values, strict=True)}


def write_scene(path: Path, width: int, height: int, frames: int) -> None:
    """Writes a clip of the built-in scene, coded as a camera would, 25 frames a second."""
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
