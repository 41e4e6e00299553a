"""What the controller of a fleet, its hosts and those who ask say to each other.

Level-triggered, and pulled by the host: once a second it reports all that it runs, and is answered
with all that it shall run. Capacity, load and cost are in one unit, milliseconds of CPU time in a
second of one host: two cores have 2000; what takes a larger share of its GPUs counts as that share
of its cores. Moments are seconds of a monotonic clock, each of its own
machine: nobody compares those of two.

Those who talk may be of two versions, while hosts change one by one: what a message lacks is as its
default says, and what is not known in it is left out. So what is added has a default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

__all__ = [
    "Assignment",
    "CameraReport",
    "CameraStatus",
    "FleetStatus",
    "HostAddress",
    "HostReport",
    "HostStatus",
    "Orders",
    "Policy",
    "Wanted",
    "WantedCamera",
]

Settings = Mapping[str, Any]  # a [[streams]] of the file, as JSON has it


class _Message:
    """Pickled by the names of its fields."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        names = (one.name for one in fields(self))  # type: ignore[arg-type]
        return _read, (type(self), {name: getattr(self, name) for name in names})


def _read(kind: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in known})


@dataclass(frozen=True, slots=True)
class WantedCamera(_Message):
    """File to controller: a camera that the fleet is to run."""

    name: str
    settings: Settings  # without `labels` and `priority`; it holds secrets
    labels: Mapping[str, str] = field(default_factory=dict)  # that its host must have
    priority: int = 0  # where there is too little room the lowest gives way first


@dataclass(frozen=True, slots=True)
class Policy(_Message):
    """File to controller: how cameras are placed, ``[fleet]`` of the file."""

    lease_s: float = 3.0  # how long a host may publish after it asked
    reserve: float = 0.2  # share of each host's capacity that is kept free
    spread: Literal["even", "pack"] = "even"  # over all hosts, or over as few as hold them
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of hosts, by name, over
    # what they report


@dataclass(frozen=True, slots=True)
class Wanted(_Message):
    """File to controller: all that the fleet is to run. A later version replaces it whole."""

    version: int
    cameras: tuple[WantedCamera, ...]
    policy: Policy = Policy()
    groups: Settings = field(default_factory=dict)  # of NodeSettings, for the node of every host


@dataclass(frozen=True, slots=True)
class CameraReport(_Message):
    """Host to controller, in a HostReport: a camera that the host runs or has not yet ended."""

    name: str
    epoch: int  # of the Assignment that it runs by
    state: str  # as core/status.py's StreamState
    reason: str = ""  # what is wrong, for people; it holds no secret
    cost: float = 0.0  # what it took of late; 0 where that is not measured yet
    rung: int = 0  # of the Assignment


@dataclass(frozen=True, slots=True)
class HostReport(_Message):
    """Host to controller, once a second: what it is, and all that it runs at the moment ``sent``.

    A host has one question open at a time: once it has asked again it takes no answer to an earlier
    question. So a camera that a report leaves out is not published by that host, whatever answers
    to earlier reports are still on their way (``HostLease`` keeps to it).
    """

    host: str  # its name, the same after a restart
    incarnation: int  # greater with each start of the host's process
    sent: float  # its own clock, strictly rising within an incarnation
    labels: Mapping[str, str]
    kind: str  # of machine: cameras cost the same on hosts of one kind
    capacity: float  # of its cores, or of what a container may use of them
    load: float  # what its processes take now
    cameras: tuple[CameraReport, ...] = ()
    draining: bool = False  # it is about to leave, and takes nothing new
    address: str = ""  # http://HOST:PORT of its node's server, for the gateway
    pid: int = 0  # of its Ray node's process (the raylet)
    token: str = field(default="", repr=False)  # that its node's server asks of the gateway
    lease_s: float = 0.0  # of the orders that it runs by
    network_mpx: float = 0.0  # megapixels a second of a network's input that all of it does, by
    path_mpx: float = 0.0  # its trial; of results without a network; 0: not known (yet)
    cold: bool = False  # its node's process is starting: what comes has to wait for that


@dataclass(frozen=True, slots=True)
class Assignment(_Message):
    """Controller to host, in Orders: a camera that the host shall run."""

    name: str
    epoch: int  # rises with every change of the camera's host
    settings: Settings  # as they are to be run, at this rung; they hold secrets
    rung: int = 0  # 0 as asked, 1 the cheaper fallback: its model is the first of model.fallback


@dataclass(frozen=True, slots=True)
class Orders(_Message):
    """Controller to host, the answer to a HostReport: all that it shall run.

    What is not listed is stopped at once; what is listed may be published until ``lease_s`` after
    the moment at which the host ASKED, by its own clock, and no longer.
    """

    lease_s: float
    cameras: tuple[Assignment, ...]
    version: int  # of the Wanted that they come from
    groups: Settings = field(default_factory=dict)  # of the Wanted; they hold secrets


@dataclass(frozen=True, slots=True)
class HostStatus(_Message):
    """Controller to who asks: a host."""

    name: str
    state: Literal["up", "draining", "drained", "lost"]
    pid: int  # of its Ray node's process
    kind: str
    labels: Mapping[str, str]
    capacity: float
    load: float
    placed: float  # what its cameras are reckoned to cost
    cameras: int
    address: str  # of its node's server
    network_mpx: float = 0.0  # as in its HostReport
    path_mpx: float = 0.0


@dataclass(frozen=True, slots=True)
class CameraStatus(_Message):
    """Controller to who asks: a camera of the fleet."""

    name: str
    host: str  # that has it; "" for none
    state: str  # as the host reports it; "moving" between two hosts, "waiting" for room
    epoch: int
    rung: int
    reason: str  # why it is where it is, or why it is nowhere; for people
    cost: float  # that it is reckoned with
    priority: int


@dataclass(frozen=True, slots=True)
class HostAddress(_Message):
    """Controller to gateway: where the node of a host serves."""

    host: str
    url: str  # http://HOST:PORT
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FleetStatus(_Message):
    """Controller to who asks: how the fleet stands."""

    version: int  # of the Wanted
    hosts: tuple[HostStatus, ...]
    cameras: tuple[CameraStatus, ...]
