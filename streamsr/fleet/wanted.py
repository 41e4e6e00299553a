"""What a file says a fleet is to run, as its controller takes it."""

from streamsr.core.settings.fleet import FleetSettings
from streamsr.fleet.messages import Policy, Wanted, WantedCamera

__all__ = ["wanted_of"]


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
