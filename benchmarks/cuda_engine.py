"""The CUDA engine on the GPU at hand: does the pipeline reach its slowest stage's rate?

    python benchmarks/cuda_engine.py [--model NAME] [--size WxH] [--frames N] [--results FOLDER]

Measures each stage alone, the pipeline of all of them, with and without CUDA graphs, how far its
frames are from the CPU's, and the device's memory along the way. Writes a Markdown page and the
same figures as JSON.
"""

import argparse
import json
import platform
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from streamsr.core.frame import ColourTags, Frame
from streamsr.core.metrics import Meter
from streamsr.engine.cuda.compute import Compute, CudaJob
from streamsr.engine.cuda.device import CudaDevice, DeviceStream
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.track import DeviceTrack, Layout, UploadedFrame
from streamsr.engine.engines import Engines
from streamsr.networks.sliding import SlidingWindow
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import find

SLOTS = 6
WARM_FRAMES = 60
COMPARED = 12  # frames that the CPU upscales too
DIFFERENT = 16  # frames; the clip repeats them
RATE_ALONE = 400  # frames by which a stage's rate is measured


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the CUDA engine.")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stderr.write(
            "benchmarks/cuda_engine.py: there is no CUDA device here, or no driver for it\n"
        )
        return 2
    width, height = map(int, options.size.split("x"))
    figures = measured(options.model, clip(height, width), options.frames)
    name = f"{figures['day']}-cuda-{options.model}-{options.size}"
    page = as_markdown(
        figures, f"python benchmarks/cuda_engine.py {' '.join(sys.argv[1:])}".strip()
    )
    (options.results / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    (options.results / f"{name}.md").write_text(page)
    sys.stdout.write(page)
    return 0


def measured(name: str, frames: list[Frame], count: int) -> dict[str, Any]:
    device = torch.device("cuda", 0)
    model = load_model(find(name), device)
    stages = stage_rates(model, frames)
    pipeline, memory, made = pipeline_rate(model, CudaDevice(device), frames, count)
    eager, _, _ = pipeline_rate(model, CudaDevice(device, graphs=False), frames, count // 5)
    slowest = min(stages, key=stages.__getitem__)
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name(device),
        "machine": f"{platform.machine()}, torch {torch.__version__}, CUDA {torch.version.cuda}",
        "model": name,
        "input": f"{frames[0].width}x{frames[0].height}",
        "frames": count,
        "stages_fps": {stage: round(rate, 1) for stage, rate in stages.items()},
        "slowest": slowest,
        "pipeline_fps": round(pipeline, 1),
        "pipeline_of_slowest": round(pipeline / stages[slowest], 3),
        "eager_fps": round(eager, 1),
        "difference_levels": differences(name, frames, made),
        "memory_used_mib": memory,
    }


def clip(height: int, width: int) -> list[Frame]:
    """A texture that drifts."""
    random = np.random.default_rng(0)
    shapes = [(height, width), *[(-(-height // 2), -(-width // 2))] * 2]
    cells = [random.integers(16, 236, (-(-h // 8), -(-w // 8)), np.uint8) for h, w in shapes]
    planes = [np.kron(c, np.ones((8, 8), np.uint8)) for c in cells]
    textures = [p[:h, :w] for p, (h, w) in zip(planes, shapes, strict=True)]
    return [
        Frame(
            tuple(np.roll(texture, number, 1) for texture in textures),
            ColourTags(1, 1, 1),
            number,
            Fraction(1, 25),
        )
        for number in range(DIFFERENT)
    ]


def stage_rates(model: SlidingWindow, frames: list[Frame]) -> dict[str, float]:
    """Frames a second of each stage, nothing else being done; ``fill`` finds what moved, too."""
    frame = frames[0]
    device = CudaDevice(torch.device("cuda", 0))
    stream = device.stream()
    compute = Compute(model, device, stream, 1)
    track = DeviceTrack(device, Layout.of(frame), model, compute.pixels, SLOTS)
    stream.launch(lambda: compute.prepare(track))
    window = model.facts.window
    with CudaEngine(model, device) as engine:
        owner = engine.stream("bench", Meter(), lambda event: None)
    jobs = [
        CudaJob(
            owner,
            frame,
            track,
            slot,
            (UploadedFrame(slot, slot % window, frame.colour),),
            tuple(range(window)),
            starts_chain=False,
        )
        for slot in range(len(track.memory))
    ]
    memory = track.memory
    coming = cycle(frames)

    def fill(slot: int) -> None:
        newest = next(coming)
        memory[slot].fill(newest, track.motion.of(newest, starts_chain=False))

    for number, slot in enumerate(memory):
        fill(number)
        stream.launch(slot.upload)
    for position in range(window):
        stream.launch(lambda at=position: track.ring[at].zero_())
    host: dict[str, Callable[[int], object]] = {
        "fill": fill,
        "upload": lambda n: stream.launch(memory[n].upload),
        "compute": lambda n: stream.launch(lambda: compute.run([jobs[n]])),
        "download": lambda n: stream.launch(memory[n].download),
        "take": lambda n: memory[n].taken(),
    }
    return {name: rate_of(work, stream, device, len(memory)) for name, work in host.items()}


def rate_of(
    work: Callable[[int], object], stream: DeviceStream, device: CudaDevice, slots: int
) -> float:
    """How often a second ``work`` is done, slot after slot."""
    for number in range(WARM_FRAMES):
        work(number % slots)
    end = device.event()
    stream.record_event(end)
    end.synchronize()
    started = perf_counter()
    for number in range(RATE_ALONE):
        work(number % slots)
    stream.record_event(end)
    end.synchronize()
    return RATE_ALONE / (perf_counter() - started)


def pipeline_rate(
    model: SlidingWindow, device: CudaDevice, frames: list[Frame], count: int
) -> tuple[float, list[float], list[Frame]]:
    """Frames a second of the whole engine; the device's memory in use along the way, in MiB; the
    first frames."""
    made: list[Frame] = []
    memory: list[float] = []
    in_flight: deque[Future[Frame]] = deque()
    started = 0.0
    with CudaEngine(model, device, slots=SLOTS, max_batch=1) as engine:
        stream = engine.stream("bench", Meter(), lambda event: None)
        for number in range(WARM_FRAMES + count):
            if number == WARM_FRAMES:
                started = perf_counter()
            in_flight += stream.push(at(frames, number))
            while len(in_flight) > SLOTS:
                keep(in_flight.popleft().result(), made)
            if number >= WARM_FRAMES and (number - WARM_FRAMES) % max(1, count // 10) == 0:
                free, total = torch.cuda.mem_get_info(device.place)
                memory.append(round((total - free) / 2**20, 1))
        in_flight += stream.flush()
        for future in in_flight:
            future.result()
        spent = perf_counter() - started
    return count / spent, memory, made


def at(frames: list[Frame], number: int) -> Frame:
    """The clip over and over, its time going on."""
    frame = frames[number % len(frames)]
    return Frame(frame.planes, frame.colour, number, frame.time_base)


def keep(frame: Frame, made: list[Frame]) -> None:
    if len(made) < COMPARED:
        made.append(frame)


def differences(name: str, frames: list[Frame], made: list[Frame]) -> dict[str, float]:
    """The largest and the mean difference to what the CPU makes of the first frames."""
    cpu = torch.device("cpu")
    model = load_model(find(name), cpu, "float32")
    with Engines(cpu) as engines:
        stream = engines.of(model).stream("cpu", Meter(), lambda event: None)
        done = [f for n in range(COMPARED + 4) for f in stream.push(at(frames, n))]
        expected = [future.result() for future in done + stream.flush()][: len(made)]
    apart = [
        np.abs(plane.astype(int) - wanted.astype(int))
        for one, other in zip(made, expected, strict=True)
        for plane, wanted in zip(one.planes, other.planes, strict=True)
    ]
    return {
        "largest": float(max(difference.max() for difference in apart)),
        "mean": round(float(np.mean([difference.mean() for difference in apart])), 4),
    }


def as_markdown(figures: dict[str, Any], command: str) -> str:
    lines = [
        f"# The CUDA engine, {figures['day']}",
        "",
        f"{figures['device']}; {figures['machine']}. `{command}`: {figures['model']} on "
        f"{figures['input']}, {figures['frames']} frames.",
        "",
        "| stage alone | frames a second |",
        "|---|---|",
        *(f"| {stage} | {rate} |" for stage, rate in figures["stages_fps"].items()),
        "",
        "| | |",
        "|---|---|",
        f"| pipeline | {figures['pipeline_fps']} frames a second |",
        f"| of the slowest stage ({figures['slowest']}) | {figures['pipeline_of_slowest']:.1%} |",
        f"| without graphs | {figures['eager_fps']} frames a second |",
        f"| largest difference to the CPU's frames | "
        f"{figures['difference_levels']['largest']:.0f} levels |",
        f"| mean difference | {figures['difference_levels']['mean']} levels |",
        f"| device memory in use, MiB, every tenth of the way | "
        f"{', '.join(map(str, figures['memory_used_mib']))} |",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
