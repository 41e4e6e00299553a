"""Of changes that wait to be published each subject's newest is kept, in order."""

from datetime import UTC, datetime

from streamsr.core.events import Code, Event
from streamsr.mqtt.event_queue import MOST, EventQueue

WHEN = datetime(2026, 11, 24, tzinfo=UTC)


def drained(queue: EventQueue) -> list[tuple[str, str, tuple[str, ...]]]:
    """Subject, code, and the codes in between, of all that waits."""
    found = []
    while (queued := queue.first()) is not None:
        found.append((queued.event.subject, queued.event.code.value, queued.between))
        queue.remove(queued)
    return found


def put(queue: EventQueue, code: Code, stream: str = "gate", part: str = "") -> None:
    queue.add(Event(code, stream, "x", part), WHEN)


def test_overload_pushes_no_camera_out() -> None:
    queue = EventQueue()
    put(queue, Code.SRC_DOWN, "gone")
    for number in range(10_000):
        put(queue, (Code.OVERLOAD, Code.OVERLOAD_OVER)[number % 2], f"slow{number % 6}")
    found = drained(queue)
    assert found[0] == ("gone", "SRC_DOWN", ())
    assert [subject[:4] for subject, _, _ in found[1:]] == ["slow"] * 6


def test_the_newest_of_a_kind_says_what_was_in_between() -> None:
    queue = EventQueue()
    for code in (Code.SRC_DOWN, Code.SRC_UP, Code.SRC_DOWN, Code.SRC_AUTH, Code.SRC_UP):
        put(queue, code)
    assert drained(queue) == [("gate", "SRC_UP", ("SRC_DOWN", "SRC_UP", "SRC_AUTH"))]


def test_outputs_and_kinds_are_apart_and_in_the_order_of_their_newest() -> None:
    queue = EventQueue()
    put(queue, Code.OUT_DOWN, part="rtsp-1")
    put(queue, Code.OUT_DOWN, part="rtmp-2")
    put(queue, Code.SRC_DOWN)
    put(queue, Code.OVERLOAD)
    put(queue, Code.OUT_UP, part="rtsp-1")
    assert drained(queue) == [
        ("gate/rtmp-2", "OUT_DOWN", ()),
        ("gate", "SRC_DOWN", ()),
        ("gate", "OVERLOAD", ()),
        ("gate/rtsp-1", "OUT_UP", ("OUT_DOWN",)),
    ]


def test_one_stays_until_it_has_arrived() -> None:
    queue = EventQueue()
    put(queue, Code.SRC_DOWN)
    first = queue.first()
    assert first is not None
    assert queue.first() is first
    put(queue, Code.SRC_UP)  # while it is being sent
    queue.remove(first)
    assert drained(queue) == [("gate", "SRC_UP", ("SRC_DOWN",))]


def test_subjects_without_end_take_no_memory_without_end() -> None:
    queue = EventQueue()
    for number in range(MOST + 100):
        put(queue, Code.SRC_DOWN, f"camera{number}")
    assert len(drained(queue)) == MOST
