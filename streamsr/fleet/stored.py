"""What the controller remembers over its own end, as bytes.

It holds the cameras' secrets: who keeps it keeps it from others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import MsgspecError
from msgspec.msgpack import decode, encode

from streamsr.core.errors import UserError
from streamsr.fleet.leases import CameraLease
from streamsr.fleet.messages import Wanted
from streamsr.fleet.placing.demand import Place

__all__ = ["Stored"]

FORM = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """All that a controller goes on from."""

    wanted: Wanted
    places: Mapping[str, Place] = field(default_factory=dict)
    leases: Mapping[str, CameraLease] = field(default_factory=dict)  # whose times mean nothing now
    pins: Mapping[str, str] = field(default_factory=dict)  # host by camera, moved by hand
    drained: Mapping[str, int] = field(default_factory=dict)  # incarnation by host
    costs: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    lease_s: float = 0.0  # the longest that a host may have; 0: that of what is wanted

    def to_bytes(self) -> bytes:
        return bytes([FORM]) + encode(self)

    @classmethod
    def of_bytes(cls, data: bytes) -> "Stored":
        """Raises UserError for bytes that are none."""
        if data[:1] != bytes([FORM]):
            got = data[:1].hex() or "nothing"
            raise UserError(f"state of the fleet: got form {got}, allowed is {FORM:02x}")
        try:
            return decode(memoryview(data)[1:], type=cls)
        except MsgspecError as error:
            raise UserError(f"state of the fleet: it is damaged: {error}") from None
