"""Checks of what the engine makes: the CPU's frames, and what float16 costs."""

import math
from fractions import Fraction

import numpy as np
import torch

from benchmarks.cuda_suite.places import Outcome, Place, passed
from benchmarks.cuda_suite.streams import (
    TAGS,
    apart,
    clip,
    edvr,
    first,
    in_half,
    of_cpu,
    through,
    with_weights,
)
from streamsr.core.frame import Frame
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.resample import resize_frame
from streamsr.networks.sliding import SlidingWindow
from streamsr.sources.demo import Scene

__all__ = ["equality", "fp16"]

LEVELS = 1  # sums are in another order
COSTS_DB = 0.05


def equality(place: Place) -> Outcome:
    """Each model, with graphs and without, by every kind of colour, on an odd size."""
    torch.backends.cudnn.allow_tf32 = False  # a CPU has no TF32
    size = place.sizes.odd
    models = {
        "fast": with_weights("fast"),
        "fast-small": with_weights("fast-small"),
        "bicubic": with_weights("bicubic"),
        "edvr": edvr(place),
    }
    found: dict[str, int] = {}
    for name, make in models.items():
        small = tuple(side // 2 for side in size) if name == "edvr" else size  # the CPU's time
        on_cpu, on_device = make(torch.device("cpu")), make(place.torch_device)
        for kind, tags in TAGS.items():
            frames = first(clip((small[0], small[1]), tags), place.sizes.compared)
            wanted = of_cpu(on_cpu, frames)
            for graphs in (True, False):
                with CudaEngine(on_device, place.device(graphs=graphs)) as engine:
                    levels = apart(through(engine, frames), wanted)
                found[f"{name}, {kind}, {'graphs' if graphs else 'eager'}"] = levels
            if name == "edvr":
                break  # one kind: its way through the converters is the others'
    most = max(found.values())
    return Outcome(
        passed(most <= LEVELS), f"at most {most} levels apart in {len(found)} clips", found
    )


def fp16(place: Place) -> Outcome:
    """By luma PSNR against the built-in scene, of which the input is a quarter."""
    width, height = place.sizes.truth
    scene = Scene(width, height)
    truths = [
        Frame(scene.frame(n), TAGS["709 centre"], n, Fraction(1, 25))
        for n in range(place.sizes.compared)
    ]
    frames = [resize_frame(frame, width // 4, height // 4) for frame in truths]
    found: dict[str, float] = {}
    worst = 0.0
    for name, make in (
        ("fast", with_weights("fast")),
        ("fast-small", with_weights("fast-small")),
        ("live", with_weights("live")),
        ("edvr", edvr(place)),
    ):
        scores = {}
        for dtype in ("float32", "float16"):
            model = make(place.torch_device)
            model = in_half(model) if dtype == "float16" else model
            scores[dtype] = decibels(upscaled(place, model, frames), truths)
            found[f"{name} {dtype}, dB"] = round(scores[dtype], 3)
        worst = max(worst, scores["float32"] - scores["float16"])
    return Outcome(passed(worst <= COSTS_DB), f"at most {worst:.3f} dB less", found)


def upscaled(place: Place, model: SlidingWindow, frames: list[Frame]) -> list[Frame]:
    with CudaEngine(model, place.device()) as engine:
        return through(engine, frames)


def decibels(made: list[Frame], truths: list[Frame]) -> float:
    """Luma PSNR over the whole clip."""
    errors = [
        np.mean((one.planes[0].astype(float) - truth.planes[0]) ** 2)
        for one, truth in zip(made, truths, strict=True)
    ]
    return 10 * math.log10(255**2 / float(np.mean(errors)))
