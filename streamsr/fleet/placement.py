"""Where the cameras of a fleet run: a pure function of what is wanted, what is there, what was.

No camera moves that need not: it leaves its host where that is gone or drained, lacks its labels or
carries too much, or where a person moved it. Moves that only even hosts out are made as ``moves``
allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streamsr.fleet.placing.admission import admit
from streamsr.fleet.placing.balance import even_out, pack
from streamsr.fleet.placing.demand import Demand, HostRoom, Place
from streamsr.fleet.placing.loads import Loads

__all__ = ["Placement", "place"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where every camera is to run, and what that makes of the hosts."""

    places: Mapping[str, Place]  # by camera
    load: Mapping[str, float]  # by host: what its cameras cost, in ms of CPU time a second


def place(
    cameras: Sequence[Demand],
    hosts: Sequence[HostRoom],
    current: Mapping[str, Place],
    *,
    spread: Literal["even", "pack"] = "even",
    moves: int = 0,
) -> Placement:
    """Places every camera, from where each is now.

    ``cameras`` have the costs for every kind of ``hosts``; these are all that take cameras now.
    At most ``moves`` moves are made that only even hosts out, or empty one. Given its own result as
    ``current`` with nothing else changed, it gives the same again.
    """
    loads = Loads(cameras, hosts, current)
    admit(loads, current, packed=spread == "pack")
    if moves:
        (pack if spread == "pack" else even_out)(loads, moves)
    return Placement(loads.places, loads.given)
