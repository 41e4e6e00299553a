"""What is to be placed, what there is room on, and where something is: the values of placement.

Costs and room are milliseconds of CPU time in a second of one host (see messages.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Demand", "HostRoom", "Place"]


@dataclass(frozen=True, slots=True)
class Demand:
    """A camera that wants a host."""

    name: str
    costs: Mapping[str, tuple[float, ...]]  # by kind of host: at rung 0, and at 1 if it may fall
    labels: Mapping[str, str] = field(default_factory=dict)  # that its host must have
    priority: int = 0
    pin: str = ""  # the host that it was moved to by hand

    def cost(self, kind: str, rung: int) -> float:
        """What it takes on a host of that kind at a rung that it has."""
        return self.costs[kind][rung]

    @property
    def rungs(self) -> int:
        """How many rungs it has, 1 or 2."""
        return len(next(iter(self.costs.values()), (0.0,)))


@dataclass(frozen=True, slots=True)
class HostRoom:
    """A host that takes cameras."""

    name: str
    kind: str
    usable: float  # its capacity without the reserve
    labels: Mapping[str, str] = field(default_factory=dict)
    reserve: float = 0.0  # for what would not run otherwise
    cold: bool = False  # what comes has to wait

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all of these labels."""
        return all(self.labels.get(key) == value for key, value in labels.items())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a camera is to run, and how."""

    host: str  # "": nowhere
    rung: int = 0
    reason: str = ""  # for people
