"""``Upscaler.map`` beside the pipeline: the same frames, the same model, in one process and run.

    python benchmarks/library.py [--model fast] [--size 320x180] [--frames 100] [--rounds 3]

The pipeline goes from a file to a file. The library is given the same frames as a program would:
decoded by PyAV as they are asked for and coded again as they come (the pipeline's whole work), and,
beside that, from memory as arrays. Rounds take turns; each figure is the median of its rounds. A
rate is that of the frames after the first one, by the clock; the CPU time is the whole process's.
"""

import argparse
import asyncio
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import av
import numpy as np
import torch

import streamsr
from streamsr.cli.bench import write_scene
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.muxing import FileWriter
from streamsr.media.source import SourceInfo

Figures = tuple[float, float]
"""Frames a second, and CPU ms a frame."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default="fast")
    options.add_argument("--size", default="320x180")
    options.add_argument("--frames", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    width, height = map(int, chosen.size.split("x"))
    with TemporaryDirectory(prefix="streamsr-library-") as scratch:
        clip = Path(scratch) / "clip.mp4"
        write_scene(clip, width, height, chosen.frames)
        figures = measured(clip, chosen.model, chosen.rounds)
        sys.stdout.write(table(chosen.model, chosen.size, figures) + "\n")


def measured(clip: Path, model: str, rounds: int) -> dict[str, list[Figures]]:
    """Returns each way's figures, a round each."""
    decoded = list(frames_of(clip))
    rgb = [frame.to_ndarray(format="rgb24") for frame in decoded]
    planes = [planes_of(frame) for frame in decoded]
    with streamsr.Upscaler(model) as upscaler:
        ways: dict[str, Callable[[], Figures]] = {
            "pipeline, file to file": lambda: of_pipeline(clip, model),
            "map, decoded and coded by the caller": lambda: of_files(upscaler, clip),
            "map, 4:2:0 planes in memory": lambda: of(upscaler.map(planes), len(planes)),
            "map, R'G'B' arrays in memory": lambda: of(upscaler.map(rgb), len(rgb)),
            "push, R'G'B' arrays in memory": lambda: of(pushed(upscaler, rgb), len(rgb)),
        }
        results: dict[str, list[Figures]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                results[way].append(run())
    return results


def of_pipeline(clip: Path, model: str) -> Figures:
    settings = {
        "input": {"url": str(clip)},
        "model": {"name": model},
        "output": {"path": clip.with_name("pipeline.mp4"), "overwrite": True, "scale": 4.0},
    }

    async def run() -> Figures:
        async with streamsr.open_pipeline(settings) as pipeline:
            began_s = process_time()
            status = await pipeline.run()
            return status.fps, (process_time() - began_s) * 1e3 / status.frames_out

    return asyncio.run(run())


def of_files(upscaler: streamsr.Upscaler, clip: Path) -> Figures:
    """Decoded and coded in the caller's thread, by the pipeline's own encoder."""
    return of(coded(upscaler.map(frames_of(clip)), clip.with_name("library.mp4")), None)


def of(results: Iterable[object], count: int | None) -> Figures:
    """Takes all results; times them from the first one on."""
    began_cpu_s, times_s = process_time(), []
    for _ in results:
        times_s.append(perf_counter())
    assert count in (None, len(times_s))
    spent_ms = (process_time() - began_cpu_s) * 1e3 / len(times_s)
    return (len(times_s) - 1) / (times_s[-1] - times_s[0]), spent_ms


def pushed(upscaler: streamsr.Upscaler, images: list[np.ndarray]) -> Iterator[np.ndarray]:
    for image in images:
        yield from upscaler.push(image)
    yield from upscaler.flush()


def coded(images: Iterable[av.VideoFrame], path: Path) -> Iterator[None]:
    encoder: VideoEncoder | None = None
    writer = FileWriter(path)
    rate = Fraction(25)
    for image in images:
        frame = Frame(planes_of(image), ColourTags(1, 1, 1), image.pts, image.time_base)
        info = SourceInfo(frame.width, frame.height, rate, Fraction(1), "rawvideo", "yuv420p")
        encoder = encoder or VideoEncoder(EncoderSettings(), frame, rate, Fraction(1))
        write(writer, info, encoder.encode(frame))
        yield None
    assert encoder is not None
    write(writer, info, encoder.flush())
    writer.close()


def write(writer: FileWriter, info: SourceInfo, packets: Iterable[av.Packet]) -> None:
    for one in packets:
        packet = Packet(Track.OUTPUT, bytes(one), one.pts, one.time_base, one.is_keyframe)
        writer.video(packet, info, (info.width, info.height))


def frames_of(clip: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(clip)) as container:
        yield from container.decode(video=0)


def planes_of(frame: av.VideoFrame) -> tuple[np.ndarray, ...]:
    height, half = frame.height, frame.height // 2
    packed = frame.to_ndarray(format="yuv420p").reshape(-1)
    luma, chroma = np.split(packed, [height * frame.width])
    return luma.reshape(height, -1), *chroma.reshape(2, half, -1)


def table(model: str, size: str, results: dict[str, list[Figures]]) -> str:
    rates = {way: median(rate for rate, _ in rounds) for way, rounds in results.items()}
    usual = next(iter(rates.values()))
    lines = [
        f"{model}, {size}, {platform.machine()}, {torch.get_num_threads()} cores",
        "",
        "| way | frames a second | of the pipeline's | CPU ms a frame |",
        "|---|---|---|---|",
    ]
    for way, rounds in results.items():
        spent_ms = median(spent for _, spent in rounds)
        lines.append(f"| {way} | {rates[way]:.1f} | {rates[way] / usual:.2f} | {spent_ms:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
