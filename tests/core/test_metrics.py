"""Counters, stopwatches and the summary."""

import json
import threading
from dataclasses import replace

import pytest

from streamsr.core import metrics as module
from streamsr.core.metrics import Meter, quantile
from streamsr.core.status import Counts, StreamState, StreamStatus


class Clock:
    """A monotonic clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    return made


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.5, 5), (0.51, 6), (0.9, 9), (0.99, 10), (1.0, 10)]
)
def test_quantiles_are_values_that_were_there(share: float, value: float) -> None:
    assert quantile([7, 3, 1, 10, 2, 4, 6, 5, 9, 8], share) == value
    assert quantile([], share) is None


def run(meter: Meter, clock: Clock, frames: int, rate: float = 25.0) -> None:
    for n in range(frames):
        clock.now += 1 / rate
        meter.left(clock.now - 0.010 - n * 0.001, "1280x720")


def test_latency_is_from_arrival_to_departure(clock: Clock) -> None:
    meter = Meter()
    assert meter.latency_ms() == (None, None)
    run(meter, clock, 11)
    assert meter.latency_ms() == (pytest.approx(15.0), pytest.approx(20.0))


def test_fps_is_of_the_last_seconds_and_mean_fps_of_all(clock: Clock) -> None:
    meter = Meter()
    assert (meter.fps(), meter.mean_fps()) == (0.0, 0.0)
    run(meter, clock, 100, 50)
    run(meter, clock, 200, 25)
    assert meter.fps() == pytest.approx(25, rel=0.01)
    assert meter.mean_fps() == pytest.approx(299 / (99 / 50 + 8), rel=1e-3)
    clock.now += 60
    assert meter.fps() == 0.0


def test_throughput_counts_the_first_frame_and_what_it_took(clock: Clock) -> None:
    meter = Meter()
    assert meter.throughput() == 0.0
    meter.begin()
    clock.now += 7
    meter.begin()
    meter.left(clock.now, "1280x720")
    assert meter.throughput() == pytest.approx(1 / 7)
    run(meter, clock, 100, 50)
    assert meter.throughput() == pytest.approx(101 / 9)


def test_a_stage_is_charged_what_it_spends_even_if_it_fails(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.030, 1.0, 1.010])
    monkeypatch.setattr(module, "thread_time", lambda: next(times))
    meter = Meter()
    with meter.stage("network"):
        pass
    with pytest.raises(KeyError), meter.stage("network"):
        raise KeyError
    run(meter, clock, 4)
    assert meter.cpu_ms() == {"network": pytest.approx(10.0)}


def test_what_a_stream_takes_is_not_told_by_its_first_burst(clock: Clock) -> None:
    meter = Meter()
    for number in range(50):
        meter.charge("network", 10e-3)
        run(meter, clock, 1, 32)
        assert (meter.takes_ms() == (0.0, 0.0)) == (number < 32), "for a second"
    assert meter.takes_ms()[0] == pytest.approx(320.0)


def test_what_a_stream_takes_is_that_of_the_last_seconds(clock: Clock) -> None:
    meter = Meter()
    assert meter.takes_ms() == (0.0, 0.0)
    for network_ms, seconds in ((100, 20), (10, 10)):
        for _ in range(seconds * 10):
            meter.charge("network", network_ms / 1e3)
            meter.charge("encode live", 5e-3)
            meter.charge_gpu(20e-3)
            run(meter, clock, 1, 10)
    assert meter.takes_ms() == pytest.approx((150.0, 200.0))


STATUS = StreamStatus(
    name="cam",
    state=StreamState.ENDED,
    model="fast",
    device="cpu",
    input="320x180",
    output="1280x720",
    frames_in=14,
    frames_out=11,
    frames_dropped=1,
    frames_held=3,
    dropped_by={"late": 1},
    audio_dropped=5,
    fps=24.996,
    precision="int8",
    why="asked for",
    latency_p50_ms=15.04,
    latency_p99_ms=20.0,
    reconnects=2,
    time_jumps=1,
    encoder_faults=6,
    moved=6,
)


def test_the_summary_is_what_json_prints() -> None:
    summary = STATUS.to_json()
    assert json.loads(json.dumps(summary)) == summary
    assert summary == {
        "name": "cam",
        "frames_in": 14,
        "frames_out": 11,
        "frames_dropped": 1,
        "frames_held": 3,
        "audio_dropped": 5,
        "fps": 25.0,
        "latency_ms": {"p50": 15.0, "p99": 20.0},
        "model": "fast",
        "precision": "int8",
        "why": "asked for",
        "device": "cpu",
        "reconnects": 2,
        "time_jumps": 1,
        "encoder_faults": 6,
        "moved": 6,
        "input": "320x180",
        "output": "1280x720",
        "not_kept": [],
    }


def test_counts_of_sessions_add_up() -> None:
    earlier = Counts(frames_in=100, frames_dropped=8, dropped_by={"late": 5, "full": 3})
    both = STATUS.plus(earlier)
    assert both == replace(
        STATUS, frames_in=114, frames_dropped=9, dropped_by={"late": 6, "full": 3}
    )


def test_what_was_in_flight_when_a_session_ended_is_lost() -> None:
    settled = STATUS.settled()
    assert type(settled) is Counts
    assert (settled.frames_in, settled.frames_out, settled.frames_dropped) == (14, 11, 3)
    assert settled.dropped_by == {"late": 1, "lost": 2}
    assert settled.settled() == settled


def test_threads_count_exactly() -> None:
    meter = Meter()
    threads = [
        threading.Thread(target=lambda: [meter.count("in") for _ in range(2000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter["in"] == 8000
    assert meter["never counted"] == 0
