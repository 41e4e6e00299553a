"""Limits how often what repeats is told. Pure: time comes in as an argument."""

from collections.abc import Callable, Hashable

__all__ = ["Throttle"]


class Throttle:
    """Admits each key once per ``interval_s``, and counts what it holds back in between."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self._interval_s = interval_s
        self._told_s: dict[Hashable, float] = {}
        self._held_back: dict[Hashable, int] = {}

    def admit(self, key: Hashable, now_s: float) -> int | None:
        """How many of this key were held back since the last one; None to hold this one back."""
        if now_s - self._told_s.get(key, float("-inf")) < self._interval_s:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return None
        self._told_s[key] = now_s
        return self._held_back.pop(key, 0)

    def forget(self, over: Callable[[Hashable], bool]) -> None:
        """Admits the keys again that ``over`` says so of, as if they had never come."""
        for key in [key for key in self._told_s if over(key)]:
            del self._told_s[key]
            self._held_back.pop(key, None)
