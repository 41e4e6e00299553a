"""What a file says a fleet is to run, as its controller takes it."""

from dataclasses import replace

from streamsr.core.errors import UserError
from streamsr.core.settings.fleet import FleetSettings
from streamsr.fleet.messages import Policy, Wanted, WantedCamera

__all__ = ["StaleError", "successor", "wanted_of"]


class StaleError(UserError):
    """What is wanted was made from a version that is not the newest any more."""


def successor(wanted: Wanted, current: Wanted) -> Wanted:
    """Returns what is wanted as the version after ``current``, which it was made from by its own
    number; one of 0 replaces whatever there is. Raises StaleError where another came between."""
    if wanted.version not in (0, current.version):
        raise StaleError(
            f"what the fleet is to run: got a change of version {wanted.version}, and it has "
            f"{current.version} by now: make it again"
        )
    return replace(wanted, version=current.version + 1)


def wanted_of(settings: FleetSettings, version: int) -> Wanted:
    """Returns it as that version: secrets that the file only names are in it."""
    group = settings.fleet
    cameras = tuple(
        WantedCamera(
            stream.name,
            stream.as_stream().model_dump(mode="json", exclude_none=True),
            dict(stream.labels),
            stream.priority,
        )
        for stream in settings.streams
    )
    labels = {host: dict(labels) for host, labels in group.labels.items()}
    policy = Policy(group.lease_s, group.reserve, group.spread, labels)
    groups = {"webrtc": settings.webrtc.model_dump(mode="json", exclude_none=True)}
    return Wanted(version, cameras, policy, groups)
