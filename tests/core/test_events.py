"""The event log: one a second of a kind, everything counted, no secret told."""

import logging

import pytest

from streamsr.core.events import Code, Event, EventLog


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> EventLog:
    monkeypatch.setattr(logging.getLogger("streamsr"), "propagate", True)
    caplog.set_level(logging.INFO, "streamsr")
    return EventLog(clock)


def test_an_event_is_logged_with_its_code_and_stream(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    log(Event(Code.SRC_DOWN, "yard", "no picture for 3 s; trying again"))
    assert caplog.messages == ["SRC_DOWN [yard] no picture for 3 s; trying again"]


def test_a_repeating_event_is_logged_once_a_second_and_counted_always(
    log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(25):
        clock.now = 50 + n / 10
        log(Event(Code.OVERLOAD, "yard", f"drop {n}"))
    assert caplog.messages == [
        "OVERLOAD [yard] drop 0",
        "OVERLOAD [yard] drop 10 (9 more of these were not logged)",
        "OVERLOAD [yard] drop 20 (9 more of these were not logged)",
    ]
    assert log.counts == {Code.OVERLOAD: 25}


def test_other_codes_and_streams_are_not_held_back(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    for code, stream in ((Code.SRC_DOWN, "a"), (Code.SRC_DOWN, "b"), (Code.SRC_UP, "a")):
        log(Event(code, stream, "x"))
        log(Event(code, stream, "x"))
    assert caplog.messages == ["SRC_DOWN [a] x", "SRC_DOWN [b] x", "SRC_UP [a] x"]
    assert log.counts == {Code.SRC_DOWN: 4, Code.SRC_UP: 2}


def test_what_lasts_is_logged_when_it_changes_and_then_every_ten_minutes(
    log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(0, 1300, 5):
        clock.now = float(second)
        cause = "nothing listens" if second < 100 else "no such stream"
        log(Event(Code.SRC_DOWN, "yard", f"{cause}; trying again in {second % 7}.5 s"))
    assert caplog.messages == [
        "SRC_DOWN [yard] nothing listens; trying again in 0.5 s",
        "SRC_DOWN [yard] no such stream; trying again in 2.5 s",
        "SRC_DOWN [yard] no such stream; trying again in 0.5 s (119 more of these were not logged)",
    ]
    assert log.counts == {Code.SRC_DOWN: 260}


def test_what_was_over_is_logged_again(
    log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for code in (Code.SRC_DOWN, Code.SRC_UP, Code.SRC_DOWN, Code.SRC_DOWN):
        clock.now += 2
        log(Event(code, "yard", "x"))
    assert caplog.messages == ["SRC_DOWN [yard] x", "SRC_UP [yard] x", "SRC_DOWN [yard] x"]


def test_each_of_several_outputs_that_are_down_is_logged(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    for port in (1, 2, 3, 1, 2, 3):
        log(
            Event(Code.OUT_DOWN, "gate", f"rtsp://127.0.0.1:{port}/a: refused; again in 0.{port} s")
        )
    assert caplog.messages == [
        f"OUT_DOWN [gate] rtsp://127.0.0.1:{port}/a: refused; again in 0.{port} s"
        for port in (1, 2, 3)
    ]


def test_no_password_is_logged(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    log(Event(Code.SRC_AUTH, "yard", "rtsp://admin:p@ss/w%rd:#1@cam/1 refuses"))
    assert caplog.messages == ["SRC_AUTH [yard] rtsp://***@cam/1 refuses"]


def test_codes_are_their_own_names() -> None:
    assert all(code.value == code.name for code in Code)
