"""The journal: each change told once, nothing swallowed, everything counted, no secret told."""

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamsr.core.events import Code, Event
from streamsr.core.events.codes import FACTS, EventPhase, Severity, over_of
from streamsr.core.events.event import iso
from streamsr.core.events.journal import Journal, worst
from streamsr.core.events.log import log_event

BEGAN = datetime(2026, 11, 30, 4, tzinfo=UTC)


class Run:
    """A journal whose time the test moves, and what it told."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.told: list[Event] = []
        self.journal = Journal(
            lambda: self.now_s, lambda: BEGAN + timedelta(seconds=self.now_s - 50.0)
        )
        self.journal.listeners.append(self.told.append)

    def event(self, code: Code, message: str = "x", stream: str = "gate", part: str = "") -> None:
        self.journal(Event(code, stream, message, part))

    def wait(self, seconds: float) -> None:
        """Lets time pass, as ``Journal.run`` does."""
        for _ in range(round(seconds)):
            self.now_s += 1.0
            self.journal.tick()

    @property
    def codes(self) -> list[str]:
        return [event.code.value for event in self.told]

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self.told]


@pytest.fixture
def run() -> Run:
    return Run()


def test_three_outputs_that_are_refused_at_once_are_three_events(run: Run) -> None:
    for part in ("rtsp-1", "rtmp-2", "rtsp-3"):
        run.event(Code.OUT_DOWN, "refused", part=part)
    assert [event.subject for event in run.told] == ["gate/rtsp-1", "gate/rtmp-2", "gate/rtsp-3"]


def test_what_is_wrong_is_told_once_however_often_it_is_tried_again(run: Run) -> None:
    for second in range(2000):
        run.event(Code.SRC_DOWN, f"no frame for {second}.5 s")
        run.wait(5)
    assert run.messages == ["no frame for 0.5 s"]
    assert run.journal.counts == {Code.SRC_DOWN: 2000}


def test_a_change_of_the_code_is_told_at_once_and_each_time(run: Run) -> None:
    codes = [Code.SRC_DOWN, Code.SRC_AUTH, Code.SRC_UP, Code.SRC_DOWN, Code.SRC_UP]
    for code in codes:
        run.event(code)
    assert run.codes == codes


def test_another_reason_is_told_once_a_minute_and_then_the_newest(run: Run) -> None:
    run.event(Code.SRC_DOWN, "refused")
    run.event(Code.SRC_DOWN, "no answer")
    run.event(Code.SRC_DOWN, "no such host")
    run.wait(59)
    assert run.messages == ["refused"]
    run.wait(2)
    assert run.messages == ["refused", "no such host"]
    run.wait(300)
    assert run.messages == ["refused", "no such host"]


def test_a_reason_that_has_gone_before_its_minute_is_not_told(run: Run) -> None:
    for reason in ("refused", "no answer", "refused"):
        run.event(Code.SRC_DOWN, reason)
    run.wait(200)
    assert run.messages == ["refused"]


def test_a_rate_is_told_when_it_begins_and_when_it_ends(run: Run) -> None:
    for _ in range(120):
        run.event(Code.OVERLOAD, "frames are dropped")
        run.event(Code.OVERLOAD, "frames are dropped")
        run.wait(1)
    assert run.codes == ["OVERLOAD"]
    run.wait(30)
    assert run.codes == ["OVERLOAD", "OVERLOAD_OVER"]
    assert run.messages[-1] == "over, it lasted 119.0 s"
    run.event(Code.OVERLOAD)
    assert run.codes[-1] == "OVERLOAD"
    assert run.journal.counts == {Code.OVERLOAD: 241, Code.OVERLOAD_OVER: 1}


def test_rates_hold_nothing_back(run: Run) -> None:
    run.event(Code.OVERLOAD)
    run.event(Code.SRC_DOWN)
    run.event(Code.OVERLOAD)
    run.event(Code.OVERLOAD, stream="yard")
    assert [(event.code, event.stream) for event in run.told] == [
        (Code.OVERLOAD, "gate"),
        (Code.SRC_DOWN, "gate"),
        (Code.OVERLOAD, "yard"),
    ]


def test_moments_in_a_flood_are_told_a_second_apart_the_newest_last(run: Run) -> None:
    for number in range(100):
        run.event(Code.CMD_REFUSED, f"got {number}")
    run.wait(60)
    assert run.messages == ["got 0", "got 99 (98 more since the last one)"]


def test_moments_that_are_alike_are_told_once_a_minute(run: Run) -> None:
    for _ in range(100):
        run.event(Code.SRC_TIME, "the time stamps jumped")
        run.wait(1)
    assert run.messages == [
        "the time stamps jumped",
        "the time stamps jumped (58 more since the last one)",
    ]


def test_what_stands_is_named_with_its_reason_and_since_when(run: Run) -> None:
    run.event(Code.OVERLOAD, "frames are dropped")
    run.wait(3)
    run.event(Code.SRC_AUTH, "the password")
    run.wait(5)
    run.event(Code.SRC_AUTH, "the user name")
    found = worst(run.journal.standing("", "cpu"), run.journal.standing("gate"))
    assert found is not None
    assert (found.code, found.reason) == (Code.SRC_AUTH, "the user name")
    assert iso(found.since) == "2026-11-30T04:00:03.000Z"
    run.event(Code.SRC_UP)
    assert [condition.code for condition in run.journal.standing("gate")] == [Code.OVERLOAD]
    run.wait(20)
    assert worst(run.journal.standing("gate")) is None


def test_what_stands_is_said_in_the_same_words_while_it_is_the_same(run: Run) -> None:
    for second in (1, 2, 3):
        run.event(Code.SRC_DOWN, f"no frame for {second}.5 s")
        run.event(Code.OVERLOAD, f"{second} packets are dropped")
    reasons = [condition.reason for condition in run.journal.standing("gate")]
    assert reasons == ["no frame for 1.5 s", "1 packets are dropped"]


def test_what_is_mere_info_stands_only_where_it_is_asked_for(run: Run) -> None:
    run.event(Code.FRAMES_HELD)
    assert worst(run.journal.standing("gate", severe=True)) is None
    assert worst(run.journal.standing("gate")) is not None


def test_a_part_stands_by_itself_and_a_stream_that_is_gone_leaves_nothing(run: Run) -> None:
    run.event(Code.OUT_DOWN, part="rtsp-1")
    run.event(Code.SRC_DOWN)
    run.event(Code.SRC_DOWN, stream="yard")
    assert [condition.code for condition in run.journal.standing("gate", "rtsp-1")] == [
        Code.OUT_DOWN
    ]
    run.journal.forget("gate")
    assert worst(run.journal.standing("gate"), run.journal.standing("gate", "rtsp-1")) is None
    assert worst(run.journal.standing("yard")) is not None


def test_a_session_begins_with_nothing_of_the_one_before(run: Run) -> None:
    for code in (Code.OVERLOAD, Code.MODEL_FALLBACK, Code.SRC_DOWN, Code.STREAM_FAILED):
        run.event(code)
    run.event(Code.OUT_DOWN, part="rtsp-1")
    run.journal.begin_session("gate")
    assert run.codes[-2:] == ["OVERLOAD_OVER", "MODEL_RESTORED"]
    assert [condition.code for condition in run.journal.standing("gate")] == [Code.STREAM_FAILED]
    assert worst(run.journal.standing("gate", "rtsp-1")) is not None
    run.event(Code.SRC_DOWN)
    assert run.codes[-1] == "SRC_DOWN"


def test_a_listener_may_cause_an_event(run: Run) -> None:
    run.journal.listeners.append(
        lambda event: run.event(Code.SRC_UP) if event.code is Code.SRC_DOWN else None
    )
    run.event(Code.SRC_DOWN)
    assert run.codes == ["SRC_DOWN", "SRC_UP"]


def test_what_is_wrong_with_a_part_is_wrong_with_the_whole(run: Run) -> None:
    run.event(Code.CONFIG_REFUSED, "a token cannot be read", stream="", part="serve")
    run.event(Code.WORKER_DOWN, "it ended", stream="", part="cpu")
    run.event(Code.OUT_DOWN, "refused", part="rtsp-1")
    assert not list(run.journal.standing(""))
    whole = [condition.code for condition in run.journal.standing("", None)]
    assert whole == [Code.WORKER_DOWN, Code.CONFIG_REFUSED]


async def test_listeners_are_told_in_its_loop_and_in_order_whichever_thread_it_comes_in() -> None:
    journal, told = Journal(), list[tuple[int, Code]]()
    journal.listeners.append(lambda event: told.append((threading.get_ident(), event.code)))

    def tell(code: Code) -> None:
        journal(Event(code, "gate", "x"))

    running = asyncio.create_task(journal.run())
    await asyncio.sleep(0)
    thread = threading.Thread(target=tell, args=[Code.SRC_DOWN])
    thread.start()
    thread.join()  # the loop stands meanwhile
    assert not told
    tell(Code.SRC_UP)
    await asyncio.to_thread(tell, Code.SRC_AUTH)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.to_thread(tell, Code.SRC_WAITING)  # with no loop of its own, where it comes
    here, codes = threading.get_ident(), [code for _, code in told]
    assert codes == [Code.SRC_DOWN, Code.SRC_UP, Code.SRC_AUTH, Code.SRC_WAITING]
    assert [thread == here for thread, _ in told] == [True, True, True, False]


def test_events_are_logged_as_severe_as_they_are_without_secrets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("streamsr"), "propagate", True)
    caplog.set_level(logging.DEBUG, "streamsr")
    log_event(Event(Code.SRC_AUTH, "yard", "rtsp://admin:p@ss/w%rd:#1@cam/1 refuses"))
    log_event(Event(Code.OUT_DOWN, "yard", "refused", "rtsp-1", "tried again every 2 s"))
    log_event(Event(Code.CONFIG_RELOADED, "", "none"))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "SRC_AUTH [yard] rtsp://***@cam/1 refuses"),
        ("WARNING", "OUT_DOWN [yard/rtsp-1] refused; tried again every 2 s"),
        ("INFO", "CONFIG_RELOADED none"),
    ]


def test_the_documentation_lists_each_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(tuple(f"| `{c}`" for c in Code))]
    assert rows == [
        f"| `{code}` | {facts.severity} | {facts.kind.subject} | {facts.meaning} |"
        for code, facts in ((code, FACTS[code]) for code in Code)
    ]


@pytest.mark.parametrize("code", Code)
def test_each_code_is_its_own_name_and_has_facts(code: Code) -> None:
    facts = FACTS[code]
    assert code.value == code.name
    assert facts.kind.subject in ("camera", "output", "node")
    if code.endswith(("_FAILED", "_AUTH")):
        assert facts.severity is Severity.ERROR
    if facts.phase is EventPhase.WELL:
        assert facts.severity is Severity.INFO
    if facts.phase is EventPhase.RATE:
        over = FACTS[over_of(code)]
        assert (over.kind, over.phase) == (facts.kind, EventPhase.WELL)


def test_a_kind_that_can_be_wrong_can_be_well_again() -> None:
    """What stands of a subject would otherwise stand indefinitely."""
    wrong = {f.kind for f in FACTS.values() if f.phase in (EventPhase.TROUBLE, EventPhase.RATE)}
    well = {f.kind for f in FACTS.values() if f.phase is EventPhase.WELL}
    assert wrong == well
