"""Commands that wait for their turn: coalesced, bounded and paced. Pure: time is an argument."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["OFF", "ON", "Command", "Mailbox", "Verb"]

ON, OFF = "ON", "OFF"
REST_S = 0.5  # between two commands of one kind to one camera: a flood must not wear it out


class Verb(StrEnum):
    """What can be asked of a camera, as its topic says it."""

    ENABLE = "enable"
    MODEL = "model"
    RECORD = "record"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Command:
    """One valid command."""

    camera: str
    verb: Verb
    value: str = ""  # ON, OFF or a model's name; "" for a snapshot

    @property
    def key(self) -> tuple[str, Verb]:
        return self.camera, self.verb


class Mailbox:
    """Holds one command for each verb of each camera: the last one, in the first one's place.

    Commands leave in that order, those of one key ``REST_S`` apart at least.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, Verb], Command] = {}
        self._left_s: dict[tuple[str, Verb], float] = {}  # when one of this key was taken last

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: Command) -> None:
        self._waiting[command.key] = command

    def take(self, now_s: float) -> Command | None:
        """The first command whose time has come, which is then no longer here."""
        self._left_s = {k: left_s for k, left_s in self._left_s.items() if now_s < left_s + REST_S}
        key = next((key for key in self._waiting if key not in self._left_s), None)
        if key is None:
            return None
        self._left_s[key] = now_s
        return self._waiting.pop(key)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until ``take`` gives a command; None where none is waiting."""
        due_s = (self._left_s.get(key, now_s - REST_S) + REST_S for key in self._waiting)
        return max(0.0, min(due_s) - now_s) if self._waiting else None
