"""Slots: what waits for what; in simulated time, that no operation is too early or too late."""

from collections.abc import Callable
from random import Random

import pytest
from simulation import STAGES, Simulation

from streamsr.engine.cuda.slots import Lane, Operation, Phase, Slots

SEEDS = range(16)
DEVICE = {"device in", "device out"}
PINNED = {"pinned in", "pinned out"}


def timings(seed: int, jitter: float = 0.2) -> tuple[dict[str, float], Callable[[str], float]]:
    """Mean seconds of the stages, and what draws from around them."""
    random = Random(seed)
    means = {stage: random.uniform(0.1, 1.0) for stage in STAGES}
    return means, lambda stage: means[stage] * random.uniform(1 - jitter, 1 + jitter)


def test_a_slot_goes_round() -> None:
    slots = Slots(2)
    assert slots.phase(0) is Phase.FREE
    assert [slots.take(), slots.take(), slots.take()] == [0, 1, None]
    assert slots.phase(0) is Phase.UPLOADING
    assert slots.upload(0) == Operation(Lane.UPLOAD, 0, ((0, Lane.COMPUTE),))
    assert slots.phase(0) is Phase.READY
    slots.upload(1)
    waits = ((0, Lane.UPLOAD), (1, Lane.UPLOAD), (0, Lane.DOWNLOAD))
    assert slots.compute(0, [0, 1]) == Operation(Lane.COMPUTE, 0, waits)
    assert slots.phase(0) is Phase.RUNNING
    assert slots.download(0) == Operation(Lane.DOWNLOAD, 0, ((0, Lane.COMPUTE),))
    assert slots.phase(0) is Phase.DOWNLOADING
    slots.free(0)
    assert slots.take() == 0


def test_slots_come_back_in_the_order_they_were_freed() -> None:
    slots = Slots(3)
    for slot in (0, 1, 2):
        assert slots.take() == slot
        slots.upload(slot)
    for slot in (1, 0, 2):
        slots.compute(slot, [])
        slots.download(slot)
        slots.free(slot)
    assert [slots.take() for _ in range(4)] == [1, 0, 2, None]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda slots: slots.free(0),
        lambda slots: slots.upload(1),
        lambda slots: slots.compute(0, [0]),
        lambda slots: slots.download(0),
    ],
)
def test_an_operation_out_of_order_is_refused(wrong: Callable[[Slots], object]) -> None:
    slots = Slots(2)
    slots.take()
    with pytest.raises(ValueError, match=r"slot \d: got (free|uploading), allowed is"):
        wrong(slots)
    assert slots.phase(0) is Phase.UPLOADING


def test_there_is_a_slot() -> None:
    with pytest.raises(ValueError, match="slots: got 0, allowed is 1 or more"):
        Slots(0)


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("slots", [1, 2, 3, 6])
def test_nothing_is_written_while_something_is_at_it(slots: int, window: int) -> None:
    for seed in SEEDS:
        run = Simulation(slots, 150, timings(seed, 0.9)[1], window=window).run()
        assert len(run.finished) == 150
        assert run.hazards() == set()
        assert {piece for piece, _ in run.touches} == DEVICE | PINNED


@pytest.mark.parametrize("window", [1, 5])
def test_the_device_is_safe_from_a_host_that_frees_too_early(window: int) -> None:
    """Dependencies keep its memory; pinned memory alone needs the host to have seen the end."""
    pinned = set()
    for seed in SEEDS:
        spans = timings(seed, 0.9)[1]
        run = Simulation(4, 150, spans, window=window, early=True).run()
        assert run.hazards() <= PINNED
        pinned |= run.hazards()
    assert pinned


@pytest.mark.parametrize(
    ("lane", "piece"),
    [
        (Lane.UPLOAD, "device in"),
        (Lane.COMPUTE, "device in"),
        (Lane.COMPUTE, "device out"),
        (Lane.DOWNLOAD, "device out"),
    ],
)
def test_every_wait_is_needed(lane: Lane, piece: str) -> None:
    found = set()
    for seed in SEEDS:
        spans = timings(seed, 0.9)[1]
        found |= Simulation(4, 150, spans, early=True, forget=lane).run().hazards()
    assert piece in found


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize("slots", [6, 8])
@pytest.mark.parametrize("batching", [1.0, 0.6], ids=["batches-as-slow", "batches-quicker"])
def test_the_pipeline_is_as_quick_as_its_slowest_stage(
    batching: float, slots: int, window: int
) -> None:
    frames = 600
    for seed in SEEDS:
        means, spans = timings(seed)
        run = Simulation(slots, frames, spans, window=window, batching=batching).run()
        half = frames // 2
        rate = half / (run.finished[-1] - run.finished[-1 - half])
        assert rate >= 0.95 / max(means.values()), (seed, means)


def test_when_all_stages_are_alike_the_pipeline_still_is() -> None:
    """The hardest case: nothing may ever be late."""
    run = Simulation(6, 600, lambda stage: 1.0).run()
    assert 300 / (run.finished[-1] - run.finished[-301]) >= 0.95


def test_with_one_slot_nothing_overlaps() -> None:
    """So the simulation does measure what the slots are for."""
    run = Simulation(1, 100, lambda stage: 1.0).run()
    assert run.finished[-1] == pytest.approx(100 * len(STAGES))
