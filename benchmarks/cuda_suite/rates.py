"""Checks of speed: does the pipeline reach its slowest stage, and a network the device's limit?"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle
from time import perf_counter
from typing import Any

import torch

from benchmarks.cuda_suite.places import Outcome, Place, rate_of
from benchmarks.cuda_suite.streams import (
    SLOTS,
    TAGS,
    MakeModel,
    clip,
    edvr,
    first,
    through,
    with_weights,
)
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.engine.base import StreamRequest
from streamsr.engine.cuda.compute import Compute
from streamsr.engine.cuda.engine import CudaEngine
from streamsr.engine.cuda.job import CudaJob
from streamsr.engine.cuda.track import DeviceTrack, Layout, UploadedFrame
from streamsr.networks.sliding import SlidingWindow
from streamsr.train.scoring import cost_of

__all__ = ["matrix", "overlap"]

OF_SLOWEST = 0.95
DIFFERENT = 16  # frames: a clip repeats them


def overlap(place: Place) -> Outcome:
    """Each stage alone, then all of them as the engine runs them."""
    figures: dict[str, Any] = {}
    least = 1.0
    for name, make in models(place).items():
        model = place.quick(make(place.torch_device))
        frames = first(clip(place.sizes.frame, TAGS["709 full"]), DIFFERENT)
        stages = stage_rates(place, model, frames)
        pipeline = pipeline_rate(place, model, frames)
        slowest = min(stages, key=stages.__getitem__)
        share = pipeline / stages[slowest]
        least = min(least, share)
        figures |= {f"{name}: {stage} alone, a second": round(r, 1) for stage, r in stages.items()}
        figures[f"{name}: pipeline, frames a second"] = round(pipeline, 1)
        figures[f"{name}: of its slowest stage ({slowest})"] = round(share, 3)
    return Outcome(place.judged(least >= OF_SLOWEST), f"at least {least:.1%}", figures)


def matrix(place: Place) -> Outcome:
    """The rate of each network alone, of a large product of float16 matrices."""
    limit = matrix_rate(place)
    figures: dict[str, Any] = {"limit, 1e9 multiply-adds a second": round(limit / 1e9, 1)}
    shares = []
    for name, make in models(place).items():
        height, width = place.sizes.frame
        model = make(place.torch_device)
        adds = cost_of(model.network, model.facts).macs * height * width
        frames = first(clip(place.sizes.frame, TAGS["709 full"]), DIFFERENT)
        rate = stage_rates(place, place.quick(model), frames)["compute"]
        shares.append(f"{name} {adds * rate / limit:.1%}")
        figures[f"{name}: 1e9 multiply-adds a frame"] = round(adds / 1e9, 3)
        figures[f"{name}: compute alone, frames a second"] = round(rate, 1)
        figures[f"{name}: of the limit"] = round(adds * rate / limit, 4)
    return Outcome("not judged", ", ".join(shares), figures)


def models(place: Place) -> dict[str, MakeModel]:
    return {"fast": with_weights("fast"), "edvr": edvr(place)}


def matrix_rate(place: Place) -> float:
    """Multiply-adds a second of a product of two large matrices in float16."""
    side = place.sizes.matrix
    dtype = torch.float16 if place.is_device else torch.float32  # which a CPU has kernels for
    one, other = (torch.rand(side, side, device=place.torch_device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(one)
    device = place.device()
    stream = device.stream()

    def multiply() -> None:
        torch.mm(one, other, out=product)

    return rate_of(lambda: stream.launch(multiply), stream, device, 20) * side**3


def stage_rates(place: Place, model: SlidingWindow, frames: list[Frame]) -> dict[str, float]:
    """Frames a second of each stage, nothing else being done; ``fill`` finds what moved, too."""
    frame, device = frames[0], place.device()
    stream = device.stream()
    compute = Compute(model, device, stream, 1)
    track = DeviceTrack(device, Layout.of(frame), model, compute.pixels, SLOTS)
    stream.launch(lambda: compute.prepare(track))
    coming = cycle(frames)
    with CudaEngine(model, device) as engine:  # only for a stream of it
        jobs = jobs_of(engine, track, frame)
    memory = cycle(track.memory)

    def fill() -> None:
        newest = next(coming)
        next(memory).fill(newest, track.motion.of(newest, starts_chain=False))

    work: dict[str, Callable[[], object]] = {
        "fill": fill,
        "upload": lambda: stream.launch(next(memory).upload),
        "compute": lambda: stream.launch(partial(computed, compute, model, next(jobs))),
        "download": lambda: stream.launch(next(memory).download),
        "take": lambda: next(memory).taken(),
    }
    times = place.sizes.timed
    return {name: rate_of(do, stream, device, times) for name, do in work.items()}


def computed(compute: Compute, model: SlidingWindow, job: CudaJob) -> None:
    compute.run([job])
    if model.streaming:
        compute.ahead([job])


def jobs_of(engine: CudaEngine, track: DeviceTrack, frame: Frame) -> Iterator[CudaJob]:
    """Windows of a track, each of which has one frame more than the one before."""
    owner = engine.stream(StreamRequest("bench", Meter(), lambda event: None))
    size = len(track.ring)
    for number in count(size):
        slot = number % len(track.memory)
        arrivals = (UploadedFrame(slot, number % size, frame.colour),)
        window = tuple((number + 1 + place) % size for place in range(size))
        yield CudaJob(owner, frame, track, slot, arrivals, window, False, newest=number)


def pipeline_rate(place: Place, model: SlidingWindow, frames: list[Frame]) -> float:
    """Frames a second of the whole engine, without its start and its end."""
    times = place.sizes.timed
    with CudaEngine(model, place.device(), slots=SLOTS, max_batch=1) as engine:
        through(engine, frames[: 2 * SLOTS])  # graphs are captured
        started = perf_counter()
        through(engine, list(going_on(frames, times)))
        return times / (perf_counter() - started)


def going_on(frames: list[Frame], count: int) -> Iterator[Frame]:
    """The clip over and over, its time going on."""
    for number in range(count):
        frame = frames[number % len(frames)]
        yield Frame(frame.planes, frame.colour, number, frame.time_base)
