"""How often one address may ask, and how often it may fail. Pure: time comes in as an argument.

Both tables are bounded: of very many addresses, those are forgotten that were quiet for longest.
"""

import ipaddress
import math
from collections import OrderedDict, deque

__all__ = ["Failures", "RateLimit", "client_of"]

FAILURES = 10  # wrong tokens that one address may send ...
WINDOW_S = 60.0  # ... within this time
ADDRESSES = 1000  # how many are remembered


def client_of(address: str) -> str:
    """The client that a request counts for: an IPv4 address, or the /64 that an IPv6 host has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and not found.is_loopback:
        mapped = found.ipv4_mapped
        return str(mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Failures:
    """Counts the failures of each client."""

    def __init__(self) -> None:
        self._times_s: OrderedDict[str, deque[float]] = OrderedDict()

    def blocked(self, client: str, now_s: float) -> bool:
        """Whether this client has failed too often."""
        times_s = self._times_s.get(client, ())
        return sum(now_s - time_s < WINDOW_S for time_s in times_s) >= FAILURES

    def add(self, client: str, now_s: float) -> None:
        self._times_s.setdefault(client, deque(maxlen=FAILURES)).append(now_s)
        self._times_s.move_to_end(client)
        if len(self._times_s) > ADDRESSES:
            self._times_s.popitem(last=False)


class RateLimit:
    """A token bucket for each client: ``burst`` requests at once, ``per_s`` in the long run."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, since

    def wait_s(self, client: str, now_s: float) -> int:
        """Count a request; 0 when it may be answered, else the seconds until the next one may."""
        left, since_s = self._buckets.get(client, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - since_s) * self._per_s)
        allowed = left >= 1
        self._buckets[client] = (left - allowed, now_s)
        self._buckets.move_to_end(client)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) / self._per_s)
