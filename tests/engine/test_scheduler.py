"""Which windows run together: groups, deadlines, and nobody starved."""

from collections import Counter

import pytest

from streamsr.engine.scheduler import Scheduler


def filled(
    max_batch: int, max_wait_s: float, *items: tuple[str, str, str, float]
) -> Scheduler[str]:
    batcher: Scheduler[str] = Scheduler(max_batch, max_wait_s)
    for stream, group, item, now_s in items:
        batcher.add(stream, group, item, now_s)
    return batcher


def test_windows_of_one_group_run_together() -> None:
    batcher = filled(4, 0, ("a", "x", "a1", 0), ("b", "x", "b1", 0), ("c", "y", "c1", 0))
    assert batcher.take(0) == ["a1", "b1"]
    assert batcher.take(0) == ["c1"]
    assert batcher.take(0) == []


def test_a_batch_closes_when_it_is_full_or_its_oldest_has_waited() -> None:
    batcher = filled(2, 0.01, ("a", "x", "a1", 1.0))
    assert batcher.due_s() == pytest.approx(1.01)
    assert batcher.take(1.009) == []
    batcher.add("b", "x", "b1", 1.005)
    assert batcher.due_s() == 1.0
    assert batcher.take(1.005) == ["a1", "b1"]
    assert batcher.due_s() is None
    batcher.add("a", "x", "a2", 2.0)
    assert batcher.take(2.01) == ["a2"]


def test_frames_of_one_stream_fill_a_batch_when_it_has_fallen_behind() -> None:
    batcher = filled(3, 1, *[("a", "x", f"a{n}", n / 10) for n in range(5)])
    assert batcher.take(0.5) == ["a0", "a1", "a2"]
    assert len(batcher) == 2


def test_a_flood_takes_no_place_from_others() -> None:
    batcher = filled(4, 0, *[("flood", "x", f"f{n}", 0) for n in range(100)])
    batcher.add("a", "x", "a1", 1)
    batcher.add("b", "x", "b1", 1)
    assert batcher.take(1) == ["f0", "a1", "b1", "f1"]


def test_the_group_that_waited_longest_goes_first() -> None:
    batcher = filled(2, 0.1, ("a", "x", "a1", 0.0))
    for n in range(10):
        batcher.add("b", "y", f"b{n}", 0.01)
    assert batcher.take(0.05) == ["b0", "b1"], "the other one is not due yet"
    assert batcher.take(0.1) == ["a1"]
    assert batcher.take(0.1) == ["b2", "b3"]


def test_nobody_starves_and_every_stream_keeps_its_order() -> None:
    batcher: Scheduler[tuple[str, int]] = Scheduler(4, 0.02)
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
                batcher.add(name, "z" if name == "other" else "x", item, now_s)
        if tick % 25 == 0:  # a device that runs 160 windows a second at best
            for name, number in batcher.take(now_s):
                got[name].append(number)
                waits[name].append(now_s - added[name, number])
    for name in rates:
        assert got[name] == list(range(len(got[name])))
    assert max(waits["calm"]) < 0.3


@pytest.mark.parametrize(("batch", "max_wait_s"), [(0, 0.0), (1, -1.0)])
def test_what_makes_no_sense_is_refused(batch: int, max_wait_s: float) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        Scheduler[str](batch, max_wait_s)


def test_who_takes_long_is_behind_those_who_do_not() -> None:
    """One stream of windows of 0.6 s and six of 4 ms, 25 times a second, on two threads."""
    batcher: Scheduler[tuple[str, float]] = Scheduler(1, 0.0)
    costs = {"slow": 0.6} | {f"quick{n}": 0.004 for n in range(6)}
    under_way = dict.fromkeys(costs, 0)
    running: list[tuple[float, tuple[str, float]]] = []
    waits: dict[str, list[float]] = {name: [] for name in costs}
    for tick in range(8000):
        now_s = tick / 1000
        for entry in [entry for entry in running if entry[0] <= now_s]:
            running.remove(entry)
            name, added_s = entry[1]
            batcher.done(name, costs[name])
            under_way[name] -= 1
            waits[name].append(now_s - added_s)
        for name in costs:
            if tick % 40 == 0 and under_way[name] < 4:
                under_way[name] += 1
                batcher.add(name, name, (name, now_s), now_s)
        while len(running) < 2 and (batch := batcher.take(now_s, threads=2)):
            for item in batch:
                batcher.begun(item[0])
                running.append((now_s + costs[item[0]], item))
    for name in costs.keys() - {"slow"}:
        assert len(waits[name]) >= 180
        assert sorted(waits[name])[len(waits[name]) // 2] < 0.05
    assert len(waits["slow"]) >= 10, "it does not starve either"


def test_books_are_kept_of_nobody_who_has_left() -> None:
    batcher: Scheduler[str] = Scheduler(1, 0.0)
    for number in range(100):
        stream = object()
        batcher.add(stream, "x", f"{number}", 10 * number)
        assert batcher.take(10 * number) == [f"{number}"]
        batcher.begun(stream)
        batcher.done(stream, 0.01)
    assert len(batcher._accounts) <= 5
