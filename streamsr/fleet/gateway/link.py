"""What a gateway asks of the fleet's controller, however it is reached."""

from typing import Protocol

from streamsr.fleet.messages import FleetStatus, HostAddress, Wanted

__all__ = ["FleetLink"]


class FleetLink(Protocol):
    """The way to the controller. Each call raises an exception, whichever, without an answer."""

    async def status(self) -> FleetStatus:
        """How hosts and cameras stand."""

    async def addresses(self) -> tuple[HostAddress, ...]:
        """Where the nodes of the hosts that are up serve."""

    async def wanted(self) -> Wanted:
        """What the fleet is to run."""

    async def want(self, wanted: Wanted) -> int:
        """Has the fleet run this; returns the version that it has by that. Raises StaleError, as
        ``successor`` does."""
