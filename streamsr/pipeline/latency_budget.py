"""Which frames of a live stream are still worth their time: latency as a promise. Pure."""

from collections import deque

__all__ = ["LatencyBudget"]

REMEMBERED = 16  # frames: their slowest is what the next one is expected to take
SHARE = 0.75  # of the budget is planned with: the rest is for what cannot be foreseen
CROWDED = 0.5  # of the budget
EARNED = 1 / 200  # of a late frame is granted for each in time: one in a hundred is the promise
MOST = 12.0  # in a row: a stall of the machine costs no frame, lasting overload does


class LatencyBudget:
    """Says for each frame whether it can still leave within ``budget_s`` of its arrival.

    It goes by what the frames before it took from here to their departure. A few frames that
    cannot are let through, so few that the 99th percentile of the latency keeps to the budget.
    """

    def __init__(self, budget_s: float) -> None:
        if budget_s <= 0:
            raise ValueError(f"budget_s: got {budget_s}, allowed is above 0")
        self.budget_s = budget_s
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)
        self._granted = 0.0

    def served(self, took_s: float) -> None:
        """Note how long a frame was on its way, from being admitted to its departure."""
        self._took_s.append(took_s)

    @property
    def crowded(self) -> bool:
        """Whether the way alone takes much of what a frame may: then no queue may form on it."""
        return max(self._took_s, default=0.0) > CROWDED * self.budget_s

    def admits(self, age_s: float) -> bool:
        """Whether a frame that arrived ``age_s`` ago is to be run."""
        if age_s + max(self._took_s, default=0.0) <= SHARE * self.budget_s:
            self._granted = min(MOST, self._granted + EARNED)
            return True
        if self._granted < 1:
            return False
        self._granted -= 1
        return True
