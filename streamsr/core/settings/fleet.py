"""A file for ``streamsr fleet``: a node file's streams, over many machines."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from streamsr.core.config import Name, Settings, Text
from streamsr.core.settings.node import NodeSettings
from streamsr.core.settings.shapes import Label, PlainName
from streamsr.core.settings.stream import StreamSettings

__all__ = ["FleetGroup", "FleetSettings", "FleetStreamSettings"]

LOCAL = "local"
LAST_PORT = 65535
ADDRESS = re.compile(r"ray://[^\s/?#@]+:[0-9]{1,5}|[A-Za-z0-9.-]+:[0-9]{1,5}")

Labels = dict[Label, Label]


def _is_of_a_machine(value: str) -> bool:
    return bool(ADDRESS.fullmatch(value)) and 0 < int(value.rpartition(":")[2]) <= LAST_PORT


class FleetGroup(Settings):
    """How cameras are spread over machines, and by which Ray."""

    address: Text = "auto"  # "auto": the cluster of this machine; "local"; ray://HOST:PORT
    hosts: int | None = Field(default=None, ge=1, le=32)  # of "local"; left out: 3
    labels: dict[Name, Labels] = Field(default_factory=dict)  # of hosts, by their names
    spread: Literal["even", "pack"] = "even"
    reserve: float = Field(default=0.2, ge=0, le=0.9)  # share of each host kept free
    lease_s: float = Field(default=3.0, ge=2.5, le=60)  # hosts ask once a second

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value not in ("auto", LOCAL) and not _is_of_a_machine(value):
            raise ValueError(
                "allowed are auto, local, a machine and its port, as head:6379, and the same of "
                "Ray's client server, as ray://head:10001"
            )
        return value

    @model_validator(mode="after")
    def _hosts_are_local(self) -> "FleetGroup":
        if self.hosts is not None and not self.is_local:
            raise ValueError(
                f"hosts: got {self.hosts} with the address {self.address!r}, whose hosts are its "
                "own: allowed is it with local"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether Ray is to be started on this machine, with hosts that are simulated."""
        return self.address == LOCAL

    @property
    def local_hosts(self) -> int:
        """How many hosts are simulated."""
        return self.hosts or 3


class FleetStreamSettings(StreamSettings):
    """A stream of a node file, and which hosts it may run on."""

    labels: Labels = Field(default_factory=dict)  # that its host must have
    priority: int = Field(default=0, ge=-1000, le=1000)  # the lowest gives way first

    def as_stream(self) -> StreamSettings:
        """The stream as a node has it."""
        groups = {name: getattr(self, name) for name in StreamSettings.model_fields}
        return StreamSettings.model_construct(**groups)


class FleetSettings(NodeSettings):
    """A file for ``streamsr fleet``; [serve] and [mqtt] are those of its gateway."""

    name: PlainName = "fleet"  # in MQTT's topics
    fleet: FleetGroup = FleetGroup()
    streams: tuple[FleetStreamSettings, ...] = Field(min_length=1)
