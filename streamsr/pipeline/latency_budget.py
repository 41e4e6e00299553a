"""Which frames of a live stream are still worth upscaling: latency as a promise. Pure."""

from collections import deque

__all__ = ["LatencyBudget"]

REMEMBERED = 16  # frames: their slowest is what the next one is expected to take
PLANNED = 0.75  # of the budget is planned with: the rest is for what cannot be foreseen
CROWDED = 0.5  # of the budget
LATE_SHARE = 1 / 200  # of a late frame for each one in time: one in a hundred is the promise
MAX_ERROR_BUDGET = 12.0  # late frames in a row: a stall drops no frame, lasting overload does


class LatencyBudget:
    """Decides for each frame whether it can still leave within ``budget_s`` of its arrival.

    It goes by how long the frames before it took from being begun to their departure. A few
    late ones are let through too, from an error budget so small that the 99th percentile of the
    latency keeps to ``budget_s``.
    """

    def __init__(self, budget_s: float) -> None:
        if budget_s <= 0:
            raise ValueError(f"budget_s: got {budget_s}, allowed is above 0")
        self.budget_s = budget_s
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)
        self._error_budget = 0.0  # late frames that may be let through

    def served(self, took_s: float) -> None:
        """Notes how long a frame took from being begun to its departure."""
        self._took_s.append(took_s)

    @property
    def crowded(self) -> bool:
        """Whether upscaling and encoding alone take much of the budget: then no queue may form."""
        return max(self._took_s, default=0.0) > CROWDED * self.budget_s

    def is_in_time(self, age_s: float) -> bool:
        """Returns whether a frame that arrived ``age_s`` ago is to be upscaled."""
        if age_s + max(self._took_s, default=0.0) <= PLANNED * self.budget_s:
            self._error_budget = min(MAX_ERROR_BUDGET, self._error_budget + LATE_SHARE)
            return True
        if self._error_budget < 1:
            return False
        self._error_budget -= 1
        return True
