"""The host's side of its lease: until when it may publish, by its own clock. Pure.

The host counts from when it asked, the controller from when it answered, which is later: so the
host's lease is over first, however long a question or an answer takes, and only then does the
controller give what it had to another.
"""

import math

from streamsr.fleet.messages import Orders

__all__ = ["HostLease"]


class HostLease:
    """Which answers a host takes, and until when what they list may be published."""

    def __init__(self) -> None:
        self.until = -math.inf  # by the host's monotonic clock; what publishes compares with this
        self._asked = -math.inf  # the moment of the question that is open
        self._open = False

    def asks(self, now: float) -> float:
        """Returns the ``sent`` of a question that is asked now; an earlier one is closed by it."""
        self._asked = max(now, math.nextafter(self._asked, math.inf))
        self._open = True
        return self._asked

    def takes(self, sent: float, orders: Orders) -> bool:
        """Takes the answer to the open question. Returns False for any other: it changes nothing.

        An answer that comes after its own lease is taken too: what it leaves out is to be stopped.
        """
        if not self._open or sent != self._asked:
            return False
        self._open = False
        self.until = max(self.until, sent + orders.lease_s)
        return True

    def extend(self, asked: float, now: float, lease_s: float) -> bool:
        """Prolongs a lease that holds ``now``, where no controller was running at some moment after
        ``asked``. Returns whether it holds.

        A controller that ends decides nothing, and one that starts gives nothing away before a
        lease is over; a lease that has ended meanwhile may have been given away before.
        """
        if not self.holds(now):
            return False
        self.until = max(self.until, asked + lease_s)
        return True

    def holds(self, now: float) -> bool:
        """Whether what the last answer listed may be published."""
        return now < self.until
