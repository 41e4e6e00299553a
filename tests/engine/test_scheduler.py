"""Which windows run together: groups, deadlines, and nobody starved."""

import weakref
from collections import Counter

import pytest

from streamsr.engine.scheduler import Scheduler


def filled(
    max_batch: int, max_wait_s: float, *items: tuple[str, str, str, float]
) -> Scheduler[str]:
    scheduler: Scheduler[str] = Scheduler(max_batch, max_wait_s)
    for stream, group, item, now_s in items:
        scheduler.add(stream, group, item, now_s)
    return scheduler


def test_windows_of_one_group_run_together() -> None:
    scheduler = filled(4, 0, ("a", "x", "a1", 0), ("b", "x", "b1", 0), ("c", "y", "c1", 0))
    assert scheduler.take(0) == ["a1", "b1"]
    assert scheduler.take(0) == ["c1"]
    assert scheduler.take(0) == []


def test_a_batch_closes_when_it_is_full_or_its_oldest_has_waited() -> None:
    scheduler = filled(2, 0.01, ("a", "x", "a1", 1.0))
    assert scheduler.due_s() == pytest.approx(1.01)
    assert scheduler.take(1.009) == []
    scheduler.add("b", "x", "b1", 1.005)
    assert scheduler.due_s() == 1.0
    assert scheduler.take(1.005) == ["a1", "b1"]
    assert scheduler.due_s() is None
    scheduler.add("a", "x", "a2", 2.0)
    assert scheduler.take(2.01) == ["a2"]


def test_frames_of_one_stream_fill_a_batch_when_it_has_fallen_behind() -> None:
    scheduler = filled(3, 1, *[("a", "x", f"a{n}", n / 10) for n in range(5)])
    assert scheduler.take(0.5) == ["a0", "a1", "a2"]
    assert len(scheduler) == 2


def test_a_flood_takes_no_place_from_others() -> None:
    scheduler = filled(4, 0, *[("flood", "x", f"f{n}", 0) for n in range(100)])
    scheduler.add("a", "x", "a1", 1)
    scheduler.add("b", "x", "b1", 1)
    assert scheduler.take(1) == ["f0", "a1", "b1", "f1"]


def test_the_group_that_waited_longest_goes_first() -> None:
    scheduler = filled(2, 0.1, ("a", "x", "a1", 0.0))
    for n in range(10):
        scheduler.add("b", "y", f"b{n}", 0.01)
    assert scheduler.take(0.05) == ["b0", "b1"], "the other one is not due yet"
    assert scheduler.take(0.1) == ["a1"]
    assert scheduler.take(0.1) == ["b2", "b3"]


def test_nobody_starves_and_every_stream_keeps_its_order() -> None:
    scheduler: Scheduler[tuple[str, int]] = Scheduler(4, 0.02)
    rates = {"calm": 25, "busy": 200, "other": 60}
    sent: Counter[str] = Counter()
    got: dict[str, list[int]] = {name: [] for name in rates}
    waits: dict[str, list[float]] = {name: [] for name in rates}
    added: dict[tuple[str, int], float] = {}
    for tick in range(2000):
        now_s = tick / 1000
        for name, rate in rates.items():
            if tick * rate // 1000 > sent[name]:
                item = (name, sent[name])
                sent[name] += 1
                added[item] = now_s
                scheduler.add(name, "z" if name == "other" else "x", item, now_s)
        if tick % 25 == 0:  # a device that runs 160 windows a second at best
            for name, number in scheduler.take(now_s):
                got[name].append(number)
                waits[name].append(now_s - added[name, number])
    for name in rates:
        assert got[name] == list(range(len(got[name])))
    assert max(waits["calm"]) < 0.3


@pytest.mark.parametrize(("batch", "max_wait_s"), [(0, 0.0), (1, -1.0)])
def test_impossible_limits_are_refused(batch: int, max_wait_s: float) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        Scheduler[str](batch, max_wait_s)


def test_a_stream_that_takes_long_does_not_delay_others() -> None:
    """One stream of windows of 0.6 s and six of 4 ms, 25 times a second, on two threads."""
    scheduler: Scheduler[tuple[str, float]] = Scheduler(1, 0.0)
    costs = {"slow": 0.6} | {f"quick{n}": 0.004 for n in range(6)}
    in_flight = dict.fromkeys(costs, 0)
    running: list[tuple[float, tuple[str, float]]] = []
    waits: dict[str, list[float]] = {name: [] for name in costs}
    for tick in range(8000):
        now_s = tick / 1000
        for entry in [entry for entry in running if entry[0] <= now_s]:
            running.remove(entry)
            name, added_s = entry[1]
            scheduler.done(name, costs[name])
            in_flight[name] -= 1
            waits[name].append(now_s - added_s)
        for name in costs:
            if tick % 40 == 0 and in_flight[name] < 4:
                in_flight[name] += 1
                scheduler.add(name, name, (name, now_s), now_s)
        while len(running) < 2 and (batch := scheduler.take(now_s, threads=2)):
            for item in batch:
                scheduler.begun(item[0])
                running.append((now_s + costs[item[0]], item))
    for name in costs.keys() - {"slow"}:
        assert len(waits[name]) >= 180
        assert sorted(waits[name])[len(waits[name]) // 2] < 0.05
    assert len(waits["slow"]) >= 10, "it does not starve either"


def test_no_thread_is_left_to_a_stream_that_is_away() -> None:
    scheduler: Scheduler[str] = Scheduler(1, 0.0)
    for name, spent_s in (("away", 0.01), ("slow", 0.6)):
        scheduler.add(name, "x", name, 0.0)
        assert scheduler.take(0.0) == [name]
        scheduler.begun(name)
        scheduler.done(name, spent_s)
    for now_s, threads in ((1.0, 1), (6.0, 2)):
        for _ in range(2):
            scheduler.add("slow", "x", "slow", now_s)
        taken = 0
        while scheduler.take(now_s, threads=2):
            scheduler.begun("slow")
            taken += 1
        assert taken == threads
        scheduler.done("slow", 0.6)
        while scheduler.take(now_s, threads=2):
            scheduler.begun("slow")
        scheduler.done("slow", 0.6)


def test_a_stream_that_has_gone_is_forgotten() -> None:
    scheduler: Scheduler[str] = Scheduler(1, 0.0)
    gone: list[weakref.ref[Stream]] = []
    for number in range(100):
        stream = Stream()
        gone.append(weakref.ref(stream))
        scheduler.add(stream, "x", f"{number}", 10 * number)
        assert scheduler.take(10 * number) == [f"{number}"]
        scheduler.begun(stream)
        scheduler.done(stream, 0.01)
    assert sum(reference() is not None for reference in gone) <= 5


class Stream:
    """Something that a weak reference can be made to."""
