"""How long to wait before trying again: pure, jittered, never giving up."""

from random import Random

__all__ = ["Backoff"]


class Backoff:
    """Delays that double from ``first_s`` to ``last_s``, each jittered by a quarter down."""

    def __init__(
        self, first_s: float = 0.5, last_s: float = 5.0, random: Random | None = None
    ) -> None:
        self.first_s = first_s
        self.last_s = last_s
        self._random = random or Random()
        self._tries = 0

    def next_s(self) -> float:
        """The seconds to wait before the next try."""
        delay = min(self.last_s, self.first_s * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return delay * self._random.uniform(0.75, 1.0)

    def succeeded(self) -> None:
        """Start from the first delay again."""
        self._tries = 0
