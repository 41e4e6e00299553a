"""The time that a user gives: what would take longer is given up, before anything is trained."""

from collections.abc import Callable
from time import monotonic

from streamsr.core.errors import InputError
from streamsr.train.teach.taught import Stage

__all__ = ["TimeLimit"]

SPARE = 0.01  # of the time


class TimeLimit:
    """So many minutes from when it is made."""

    def __init__(self, minutes: float) -> None:
        self.seconds = minutes * 60
        self.end = monotonic() + (1 - SPARE) * self.seconds

    def kept(self, report: Callable[[Stage], None]) -> Callable[[Stage], None]:
        """Returns ``report``, which raises InputError once the time is over."""

        def told(stage: Stage) -> None:
            self.check(f"{stage.stage}, {stage.done}{f' of {stage.of}' if stage.of else ''} frames")
            report(stage)

        return told

    def check(self, doing: str, *, spare_s: float = 0.0) -> None:
        """Raises InputError where less than ``spare_s`` is left."""
        if monotonic() + spare_s >= self.end:
            raise InputError(
                f"--train-minutes: too short: got as far as {doing}; give more, or less to read"
            )
