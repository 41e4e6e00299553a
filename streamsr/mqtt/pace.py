"""Tells a flood of messages from everyday's few. Pure: time is an argument."""

__all__ = ["Pace"]

CALM_PER_S = 100.0  # messages that are no flood
BURST = 20  # more than these at once, or beyond the calm ones, are


class Pace:
    """A bucket that messages fill and time empties."""

    def __init__(self) -> None:
        self._level = 0.0
        self._seen_s = float("-inf")

    def flooded(self, messages: int, now_s: float) -> bool:
        """Whether there is a flood, now that so many more have come."""
        left = max(0.0, self._level - CALM_PER_S * (now_s - self._seen_s))
        self._level = min(2.0 * BURST, left + messages)
        self._seen_s = now_s
        return self._level > BURST
