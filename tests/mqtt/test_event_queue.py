"""Events that wait to be published are few and in order."""

from datetime import UTC, datetime

from streamsr.core.events import Code, Event
from streamsr.mqtt.event_queue import CAPACITY, EventQueue

WHEN = datetime(2026, 11, 24, tzinfo=UTC)


def event(stream: str = "yard", code: Code = Code.SRC_DOWN, message: str = "x") -> Event:
    return Event(code, stream, message)


def drained(queue: EventQueue) -> list[Event]:
    events = []
    while (queued := queue.first()) is not None:
        events.append(queued[0])
        queue.remove(queued)
    return events


def test_a_code_of_a_stream_is_queued_once_a_second() -> None:
    queue = EventQueue()
    assert [queue.add(event(), n / 10, WHEN) for n in range(25)].count(True) == 3
    assert queue.add(event("door"), 2.4, WHEN)
    assert queue.add(event(code=Code.SRC_UP), 2.4, WHEN)
    assert len(drained(queue)) == 5


def test_the_newest_are_kept() -> None:
    queue = EventQueue()
    sent = [event(f"camera{number}") for number in range(1000)]
    for number, one in enumerate(sent):
        assert queue.add(one, number / 1000, WHEN)
    assert drained(queue) == sent[-CAPACITY:]


def test_one_stays_until_it_has_arrived() -> None:
    queue = EventQueue()
    queue.add(event(message="first"), 0, WHEN)
    first = queue.first()
    assert queue.first() is first
    assert first is not None
    for number in range(CAPACITY):  # pushes it out while it is being sent
        queue.add(event(f"camera{number}"), 0, WHEN)
    queue.remove(first)
    assert len(drained(queue)) == CAPACITY
