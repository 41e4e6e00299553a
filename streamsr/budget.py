"""Which frames of a live stream are still worth their time: latency as a promise. Pure."""

from collections import deque

__all__ = ["Budget"]

REMEMBERED = 16  # frames: their slowest is what the next one is expected to take
SHARE = 0.85  # of the budget is planned with: the rest is for what cannot be foreseen


class Budget:
    """Says for each frame whether it can still leave within ``budget_s`` of its arrival.

    It goes by what the frames before it took from here to their departure.
    """

    def __init__(self, budget_s: float) -> None:
        if budget_s <= 0:
            raise ValueError(f"budget_s: got {budget_s}, allowed is above 0")
        self.budget_s = budget_s
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)

    def served(self, took_s: float) -> None:
        """Note how long a frame was on its way, from being admitted to its departure."""
        self._took_s.append(took_s)

    def admits(self, age_s: float) -> bool:
        """Whether a frame that arrived ``age_s`` ago is still worth running."""
        return age_s + max(self._took_s, default=0.0) <= SHARE * self.budget_s
