"""Whether a camera would run on the host that a person moves it to. Pure."""

from collections.abc import Mapping, Sequence

from streamsr.core.errors import UserError
from streamsr.fleet.placement import place
from streamsr.fleet.placing.demand import Demand, HostRoom, Place

__all__ = ["check_move"]


def check_move(
    camera: str,
    host: str,
    demands: Mapping[str, Demand],
    rooms: Sequence[HostRoom],
    current: Mapping[str, Place],
) -> None:
    """Raises UserError where it would not; ``demands`` have it pinned there, ``rooms`` are those of
    all hosts that take cameras."""
    room = next((room for room in rooms if room.name == host), None)
    if room is None:
        raise UserError(f"host: got {host!r}, which is lost or draining")
    demand = demands[camera]
    if not room.has(demand.labels):
        asked = ", ".join(f"{key}={value}" for key, value in sorted(demand.labels.items()))
        raise UserError(f"host: got {host!r}, which lacks what {camera!r} asks for: {asked}")
    placement = place(list(demands.values()), rooms, current)
    if placement.places[camera].host == host:
        return
    least = demand.cost(room.kind, demand.rungs - 1)
    free = max(0.0, room.usable - placement.load[host])
    raise UserError(
        f"host: got {host!r}, which has no room for {camera!r}: that takes {least:.0f} ms/s of "
        f"CPU, and {free:.0f} of {room.usable:.0f} are free beside cameras of its priority or above"
    )
