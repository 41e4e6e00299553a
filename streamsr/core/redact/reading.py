"""How an address is read as people type it: where a password ends, and where a host begins. Pure.

A password may hold / # ? @ : as they are, so that an address can have several readings.
"""

import re
from dataclasses import dataclass

__all__ = ["Reading", "read_address", "readings"]

PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)?(?::(?P<port>\d{1,5}))?(?=[/?#]|$)")
FULL_NAME = re.compile(r"\[.*\]|(\d+\.){3}\d+|(.*\.)[A-Za-z][\w-]+|localhost")
HALF_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})")  # in a password, hardly in a path
CERTAIN = 2  # that an address goes on like that


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of an address."""

    scheme: str  # as it was typed
    login: str | None  # what is before the @, as it was typed; None without one
    place: str  # HOST:PORT
    tail: str  # path, query and fragment
    likelihood: int  # that it is what was meant: at most CERTAIN

    @property
    def path(self) -> str:
        return re.split("[?#]", self.tail, maxsplit=1)[0]

    @property
    def more(self) -> str:
        """Query and fragment."""
        return self.tail[len(self.path) :]


def readings(url: str) -> list[Reading]:
    """Returns every way to read ``url``, the shortest login first; none where there is no host."""
    scheme, _, rest = url.partition("://")
    found = []
    for end in [-1, *(place for place, sign in enumerate(rest) if sign == "@")]:
        login = rest[: max(end, 0)]
        if re.search("[/?#]", login.partition(":")[0]):
            continue  # that @ is the path's
        place = PLACE.match(rest, end + 1)
        if place is None or int(place["port"] or 0) > 65_535:
            continue
        full = FULL_NAME.fullmatch(place["host"] or "")
        likelihood = CERTAIN if full else int(bool(place["port"]))
        tail = rest[place.end() :]
        likelihood -= bool(HALF_ENCODED.search(tail.partition("?")[0]))
        found.append(Reading(scheme, login if end >= 0 else None, place[0], tail, likelihood))
    return found


def read_address(url: str) -> Reading | None:
    """Returns the likeliest reading, the first of equals; None where there is no host."""
    return max(readings(url), key=lambda reading: reading.likelihood, default=None)
