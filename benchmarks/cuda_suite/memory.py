"""Checks of the device's memory: that it stays as large as it is, and what comes of a full one."""

from typing import Any

from benchmarks.cuda_suite.places import Outcome, Place, passed
from benchmarks.cuda_suite.rates import going_on
from benchmarks.cuda_suite.streams import TAGS, clip, first, through, with_weights
from streamsr.engine.cuda.engine import CudaEngine

__all__ = ["memory"]

PARTS = 10


def memory(place: Place) -> Outcome:
    """A stream in ten parts, a discontinuity between them; what is in use after each."""
    frames = first(clip(place.sizes.frame, TAGS["709 full"]), 16)
    device = place.device()
    used = []
    with CudaEngine(with_weights("fast")(place.torch_device), device, max_batch=1) as engine:
        for _ in range(PARTS):
            through(engine, list(going_on(frames, place.sizes.many // PARTS)))
            used.append(place.used_mib(device))
    figures: dict[str, Any] = {f"MiB after part {n + 1}": mib for n, mib in enumerate(used)}
    grew = max(used[PARTS // 2 :]) - max(used[1 : PARTS // 2])
    half = f"{max(grew, 0):.1f} more in the second half of {place.sizes.many} frames"
    got = f"{max(used):.1f} MiB, {half}"
    return Outcome(passed(grew <= 0), got, figures)
