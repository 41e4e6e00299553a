"""When a controller moves nothing, as it does not know who has what, or may not be the only one."""

from collections.abc import Iterable

__all__ = ["Stillness"]


class Stillness:
    """Lasts until all have reported that may have a camera, at most for the length of a lease."""

    def __init__(self, now: float, lease_s: float) -> None:
        """Begins with one that no report ends: nobody knows whose they are."""
        self.until = now + lease_s
        self.held_until = now  # nothing begins, either
        self._began = now
        self._awaited: set[str] | None = None  # hosts, whose reports end it; None: nobody knows

    def __contains__(self, now: float) -> bool:
        return now < max(self.until, self.held_until)

    def hold(self, until: float) -> None:
        """Has nothing begin before then: another process may be deciding, too."""
        self.held_until = max(self.held_until, until)

    def awaits(self, hosts: Iterable[str]) -> None:
        """These alone may have a camera."""
        self._awaited = set(hosts)

    def begin(self, now: float, lease_s: float, hosts: Iterable[str]) -> None:
        """Begins another, in which these may have a camera; one that lasts is made longer.

        With none it lasts for all of that: hosts that begin together are all to be there.
        """
        if now >= self.until:
            self._awaited = set(hosts) or None
        self.until = max(self.until, now + lease_s)

    def reported(self, host: str, lease_s: float, now: float) -> None:
        """Takes in that a host has said, while it lasts, what it has, by leases of that length."""
        if self._awaited is None:
            self.until = max(self.until, self._began + lease_s)
            return
        self._awaited.discard(host)
        if not self._awaited:
            self.until = now
