"""Events on their way out are few and in order."""

from datetime import UTC, datetime

from streamsr.core.events import Code, Event
from streamsr.mqtt.event_queue import KEPT, EventQueue

WHEN = datetime(2026, 11, 24, tzinfo=UTC)


def event(stream: str = "yard", code: Code = Code.SRC_DOWN, message: str = "x") -> Event:
    return Event(code, stream, message)


def drained(notices: EventQueue) -> list[Event]:
    events = []
    while (notice := notices.first()) is not None:
        events.append(notice.event)
        notices.done(notice)
    return events


def test_a_code_of_a_stream_once_a_second() -> None:
    notices = EventQueue()
    assert [notices.add(event(), n / 10, WHEN) for n in range(25)].count(True) == 3
    assert notices.add(event("door"), 2.4, WHEN)
    assert notices.add(event(code=Code.SRC_UP), 2.4, WHEN)
    assert len(drained(notices)) == 5


def test_the_newest_are_kept() -> None:
    notices = EventQueue()
    sent = [event(f"camera{number}") for number in range(1000)]
    for number, one in enumerate(sent):
        assert notices.add(one, number / 1000, WHEN)
    assert len(notices) == KEPT
    assert drained(notices) == sent[-KEPT:]


def test_one_stays_until_it_has_arrived() -> None:
    notices = EventQueue()
    notices.add(event(message="first"), 0, WHEN)
    first = notices.first()
    assert notices.first() is first
    assert first is not None
    for number in range(KEPT):  # push it out while it is under way
        notices.add(event(f"camera{number}"), 0, WHEN)
    notices.done(first)
    assert len(notices) == KEPT


def test_what_was_told_is_forgotten_in_time() -> None:
    notices = EventQueue()
    for number in range(10_000):
        notices.add(event(f"camera{number}"), float(number), WHEN)
    assert len(notices._told_s) <= 256
