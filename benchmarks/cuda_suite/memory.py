"""Checks of the device's memory: that it stays as large as it is, and what comes of a full one."""

from typing import Any

from benchmarks.cuda_suite.places import Outcome, Place, passed
from benchmarks.cuda_suite.rates import going_on
from benchmarks.cuda_suite.streams import TAGS, clip, edvr, first, through, with_weights
from streamsr.core.events import Code, Event
from streamsr.core.metrics import Meter
from streamsr.engine.base import StreamRequest
from streamsr.engine.cuda.engine import CudaEngine

__all__ = ["full", "memory"]

PARTS = 10
SHARES = (0.9, 0.6, 0.3, 0.1, 0.02)  # of the memory that is wanted
LATER_S = 3600.0


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


def full(place: Place) -> Outcome:
    """EDVR with all the memory it wants, then with less and less of it, then with all again."""
    device, clock, events = place.device(), Clock(), list[Event]()
    shown = first(clip(place.sizes.odd, TAGS["601"]), 4 * len(SHARES) + 4)
    pts: list[int] = []
    with CudaEngine(edvr(place)(place.torch_device), device, max_batch=2, clock=clock) as engine:
        through(engine, shown[:8])
        need = place.need_mib(device)
        stream = engine.stream(StreamRequest("full", meter := Meter(), events.append))
        for number, frame in enumerate(shown):
            if number % 4 == 0:
                share = SHARES[number // 4] if number // 4 < len(SHARES) else 0.0
                place.bounded(device, share * need)
            clock.now_s += LATER_S
            pts += [done.result().pts for done in stream.push(frame)]
        pts += [done.result().pts for done in stream.flush()]
    place.bounded(device, 0.0)
    said = [event.text for event in events if event.code is not Code.SR_FAILED]
    figures: dict[str, Any] = {f"said {n + 1}": text for n, text in enumerate(said)}
    figures |= {"MiB that it wants": need, "frames scaled plainly": meter["failed"]}
    whole = pts == [frame.pts for frame in shown]
    told = [event.code for event in events if event.code is not Code.SR_FAILED]
    well = whole and Code.MEMORY_SHORT in told and told[-1] is Code.MEMORY_ENOUGH
    lost = "no frame lost" if whole else f"{len(pts)} of {len(shown)} frames"
    got = f"{lost}, {meter['failed']} scaled plainly, {len(told)} changes told"
    return Outcome(passed(well), got, figures)


class Clock:
    """Monotonic seconds, so that what did not fit is tried again with each frame."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s
