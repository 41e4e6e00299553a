"""The journal of a run: which events are changes, told once each, and what stands of every subject.

Times come from the clocks it is given.
"""

import asyncio
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

from streamsr.core.events.codes import Code, EventKind, EventPhase, Severity, over_of
from streamsr.core.events.event import Emit, Event
from streamsr.core.events.log import log_event

__all__ = ["Condition", "Journal", "logged_journal", "worst"]

OVER_S = 10.0  # without another one, a rate is over
REASON_S = 60.0  # between two reasons for the same trouble, and two moments that are alike
TICK_S = 1.0  # between two looks at what is due
MOMENT_S = 1.0  # between two moments of a kind
DURATION = re.compile(r"\b\d+(\.\d+)? s\b")  # of a silence: no change

WELL_BY_SESSION = {  # what another session begins without
    EventKind.LOADING: Code.MODEL_UP,
    EventKind.MODEL: Code.MODEL_RESTORED,
    EventKind.GAIN: Code.SR_WINS,
    EventKind.MEMORY: Code.MEMORY_ENOUGH,
}

Key = tuple[str, str, EventKind]  # of a stream, a part of it, and what of it changes


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong with a subject. ``reason`` and ``doing`` hold no secret."""

    code: Code
    reason: str
    since: datetime  # UTC
    doing: str = ""

    @property
    def text(self) -> str:
        return f"{self.reason}; {self.doing}" if self.doing else self.reason


@dataclass(slots=True)
class _Entry:
    """What is known of one key."""

    event: Event  # the newest
    since: datetime  # its code has been the newest one
    began_s: float  # likewise, monotonic
    last_s: float  # when it came last
    told: Event  # the newest that was told
    told_s: float
    waiting: int = 0  # not told since ``told``


class Journal:
    """Takes every event; tells each change once, and remembers what stands.

    A code that takes another's place is a change, and told at once. Of the same code another reason
    is told, but once a minute at most; then the newest is. Of what is told with each frame, such as
    OVERLOAD, the begin and the end are. Moments of a kind are told a second apart, the newest of
    them. Any thread may call it; ``run`` it beside what it is the journal of: listeners are told in
    its loop then.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``clock`` gives monotonic seconds, ``now`` the wall time in UTC."""
        self.counts: dict[Code, int] = {}  # of all events, told or not
        self.listeners: list[Emit] = []  # that are told changes, in their order
        self._clock = clock
        self._now = now
        self._entries: dict[Key, _Entry] = {}
        self._lock = threading.RLock()  # a listener may cause an event
        self._untold: deque[Event] = deque()  # changes that listeners are still to be told
        self._loop: asyncio.AbstractEventLoop | None = None  # while it runs
        self._thread = 0  # that the loop runs in

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        with self._lock:
            self.counts[event.code] = self.counts.get(event.code, 0) + 1
            key = event.stream, event.part, event.facts.kind
            entry = self._entries.get(key)
            now_s = self._clock()
            if entry is None or entry.event.code is not event.code:
                self._entries[key] = _Entry(event, self._now(), now_s, now_s, event, now_s)
                self._tell(event)
                return
            entry.last_s = now_s
            rate = event.facts.phase is EventPhase.RATE
            if not rate and not _same(event, entry.event):  # what stands is said in the same words
                entry.event = event
            entry.waiting += 1
            self._tell_due(entry, now_s)

    def tick(self) -> None:
        """Tells what has waited for its time, and which rates are over."""
        with self._lock:
            now_s = self._clock()
            for entry in list(self._entries.values()):
                if entry.waiting:
                    self._tell_due(entry, now_s)
                if entry.event.facts.phase is EventPhase.RATE and now_s - entry.last_s >= OVER_S:
                    self(_end_of(entry))

    async def run(self) -> None:
        """Tells what is due every second, until cancelled."""
        with self._lock:
            self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        try:
            while True:
                await asyncio.sleep(TICK_S)
                self.tick()
        finally:
            with self._lock:
                self._loop = None
            self._hand_on()

    def standing(
        self, stream: str, part: str | None = "", *, severe: bool = False
    ) -> Iterator[Condition]:
        """Yields what is wrong with a subject, the worst first; ``part`` None: with it and all of
        its parts; ``severe``: but what is info."""
        with self._lock:
            entries = [
                (kind.value, entry)
                for (of, its_part, kind), entry in self._entries.items()
                if of == stream
                and part in (None, its_part)
                and entry.event.facts.phase in (EventPhase.TROUBLE, EventPhase.RATE)
            ]
        for _, entry in sorted(entries, key=lambda pair: pair[0]):
            event = entry.event
            if not severe or event.facts.severity is not Severity.INFO:
                yield Condition(event.code, event.message, entry.since, event.doing)

    def begin_session(self, stream: str) -> None:
        """Settles what stood of a stream's session before: what it was, this one may not be."""
        with self._lock:
            for key, entry in list(self._entries.items()):
                phase, kind = entry.event.facts.phase, key[2]
                if key[:2] != (stream, ""):
                    continue
                if phase is EventPhase.RATE:
                    self(_end_of(entry))
                elif phase is EventPhase.TROUBLE and kind in WELL_BY_SESSION:
                    self(Event(WELL_BY_SESSION[kind], stream, "another session has begun"))
                elif kind is EventKind.SOURCE:
                    del self._entries[key]

    def forget(self, stream: str, part: str | None = None) -> None:
        """Forgets a stream with its parts, or one part: nothing of it stands any more."""
        with self._lock:
            for key in [key for key in self._entries if key[0] == stream]:
                if part is None or key[1] == part:
                    del self._entries[key]

    def _tell_due(self, entry: _Entry, now_s: float) -> None:
        """Tells the newest of the same code, where it says something new and it is time to."""
        phase, alike = entry.event.facts.phase, _same(entry.event, entry.told)
        if phase is EventPhase.MOMENT:
            wait_s = REASON_S if alike else MOMENT_S
        elif phase is EventPhase.RATE or alike:
            return
        else:
            wait_s = REASON_S
        if now_s - entry.told_s < wait_s:
            return
        event, more = entry.event, entry.waiting - 1
        entry.told, entry.told_s, entry.waiting = event, now_s, 0
        if phase is EventPhase.MOMENT and more:
            event = replace(event, message=f"{event.message} ({more} more since the last one)")
        self._tell(event)

    def _tell(self, event: Event) -> None:
        self._untold.append(event)
        if self._loop is None or self._thread == threading.get_ident():
            self._hand_on()
        else:
            self._loop.call_soon_threadsafe(self._hand_on)

    def _hand_on(self) -> None:
        with self._lock:
            while self._untold:
                event = self._untold.popleft()
                for listener in list(self.listeners):
                    listener(event)


def worst(*conditions: Iterator[Condition]) -> Condition | None:
    """Returns the first condition of the first that yields any."""
    return next((condition for some in conditions for condition in some), None)


def _same(one: Event, other: Event) -> bool:
    """Whether two events of a code say the same, but for how long it has been."""
    texts = ((DURATION.sub("", event.message), event.doing) for event in (one, other))
    return next(texts) == next(texts)


def _end_of(entry: _Entry) -> Event:
    """The event that says that a rate is over."""
    event = entry.event
    lasted = f"over, it lasted {entry.last_s - entry.began_s:.1f} s"
    return Event(over_of(event.code), event.stream, lasted, event.part)


def logged_journal() -> Journal:
    """Returns a journal whose changes are logged."""
    journal = Journal()
    journal.listeners.append(log_event)
    return journal
