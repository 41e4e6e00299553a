"""Requests that were refused: counted for the metrics, and told as events, seldom enough."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from streamsr.core.events import Code, Emit, Event
from streamsr.serve.access.rate_limit import RateLimit

__all__ = ["Reason", "Refusals"]

CLIENT_S = 60.0  # between two events of one client and reason
ALL_S, ALL_BURST = 10.0, 5  # between two of all, and how many may come at once


class Reason(StrEnum):
    """Stable names: labels of a metric."""

    NO_TOKEN = "no_token"  # what a browser asks first: it prompts for it then
    WRONG_TOKEN = "wrong_token"
    MANY_WRONG_TOKENS = "many_wrong_tokens"
    LINK_EXPIRED = "link_expired"
    ROLE = "role"  # that may view, and wanted to change something
    PLAIN = "plain"  # without TLS, and not by a proxy
    HOST = "host"
    SITE = "site"
    RATE = "rate"


class Refusals:
    """Counts refused requests, and tells of them."""

    def __init__(self, emit: Emit, clock: Callable[[], float]) -> None:
        self.counts: Counter[Reason] = Counter()
        self._emit = emit
        self._clock = clock  # monotonic seconds
        self._each = RateLimit(1 / CLIENT_S, 1)
        self._all = RateLimit(1 / ALL_S, ALL_BURST)
        self._untold = 0

    def add(self, reason: Reason, client: str, message: str) -> None:
        """Counts a refused request; ``message`` says to people why, and holds no secret."""
        self.counts[reason] += 1
        if reason == Reason.NO_TOKEN:
            return
        now_s = self._clock()
        if self._each.wait_s(f"{reason} {client}", now_s) or self._all.wait_s("", now_s):
            self._untold += 1
            return
        more = f" ({self._untold} more were refused and not told)" if self._untold else ""
        self._untold = 0
        self._emit(Event(Code.ACCESS_REFUSED, "", f"{client}: {message}{more}"))
