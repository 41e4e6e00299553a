"""Events: what happened to which subject, why, and what is being done about it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from streamsr.core.events.codes import FACTS, Code, CodeFacts

__all__ = ["Emit", "Event", "iso"]


def iso(when: datetime) -> str:
    """Returns a time as JSON has it: ISO 8601 in UTC, to the millisecond."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one subject. Its texts hold no secret."""

    code: Code
    stream: str  # its name; "" where the node is meant
    message: str  # what happened
    part: str = ""  # of the stream, an output's name; of the node, a worker's device
    doing: str = ""  # what is being done about it

    @property
    def subject(self) -> str:
        """The camera, "camera/output", or "" for the node."""
        return f"{self.stream}/{self.part}" if self.stream and self.part else self.stream

    @property
    def facts(self) -> CodeFacts:
        """How severe it is, what of its subject it is about, and what it says of that."""
        return FACTS[self.code]

    @property
    def text(self) -> str:
        """What happened and what is being done about it, for people."""
        return f"{self.message}; {self.doing}" if self.doing else self.message

    def as_json(self, when: datetime) -> dict[str, object]:
        """Returns it as MQTT and HTTP tell it; ``when`` it happened, to the millisecond."""
        return {
            "code": self.code,
            "severity": self.facts.severity,
            "subject": self.subject,
            "message": self.text,
            "doing": self.doing,
            "time": iso(when),
        }


Emit = Callable[[Event], None]
