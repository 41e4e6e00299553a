"""What one client may cost, and how often it may ask. Pure: time comes in as an argument."""

import ipaddress
import math
from collections import OrderedDict, deque
from dataclasses import dataclass

__all__ = ["FailureLimit", "RateLimit", "ServerLimits", "client_of"]

CLIENTS = 1000  # how many are remembered


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits of a server. Times are in seconds."""

    viewers: int = 8  # over all streams
    connect_s: float = 12.0  # from a WHEP answer to a connection
    # From the last byte that a viewer sent. It owes a report every 5 s at the latest, 7.5 s when
    # randomised, even when it receives nothing (RFC 3550, 6.2 and 6.3.1).
    silent_s: float = 15.0
    idle_s: float = 10.0  # a connection without a whole request is closed
    body_s: float = 10.0  # for a request's body to arrive
    linger_s: float = 2.0  # the rest of a refused body is read, so that the refusal arrives
    snapshot_s: float = 1.0  # age up to which one snapshot is for everyone: each costs a keyframe

    # Eight pages that play HLS and show sixteen cameras ask for about 60 things a second. Behind a
    # proxy all viewers have its address, which is this machine's as a rule.
    per_s: float = 50.0  # requests of one client in the long run ...
    burst: int = 200  # ... and at once
    local_per_s: float = 200.0  # of one on this machine
    local_burst: int = 1000
    wrong_tokens: int = 10  # of one client ...
    wrong_tokens_s: float = 60.0  # ... within any time of this length; further ones are answered
    late_s: float = 1.0  # so late ...
    late_at_most: int = 100  # ... where no more than so many wait for it


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


class RateLimit:
    """A token bucket for each client: ``burst`` at once, ``per_s`` in the long run.

    Of very many clients those are forgotten that were quiet for longest.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, since

    def wait_s(self, client: str, now_s: float) -> int:
        """Counts a request; returns 0 where it may go on, else the seconds until one may."""
        left, since_s = self._buckets.get(client, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - since_s) * self._per_s)
        allowed = left >= 1
        self._buckets[client] = (left - allowed, now_s)
        self._buckets.move_to_end(client)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) / self._per_s)


class FailureLimit:
    """At most ``most`` failures of each client within any ``span_s``.

    Of very many clients those are forgotten that failed longest ago.
    """

    def __init__(self, most: int, span_s: float) -> None:
        self._most = most
        self._span_s = span_s
        self._times_s: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, client: str, now_s: float) -> int:
        """Returns 0 where this client may try, else the seconds until it may."""
        times_s = self._times_s.get(client, ())
        recent_s = [time_s for time_s in times_s if now_s - time_s < self._span_s]
        return math.ceil(recent_s[0] + self._span_s - now_s) if len(recent_s) >= self._most else 0

    def add(self, client: str, now_s: float) -> None:
        """Counts a failure."""
        self._times_s.setdefault(client, deque(maxlen=self._most)).append(now_s)
        self._times_s.move_to_end(client)
        if len(self._times_s) > CLIENTS:
            self._times_s.popitem(last=False)
