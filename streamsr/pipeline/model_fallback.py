"""Which of a stream's models runs: as good a one as the device holds, of those that do not lose to
plain scaling. Pure."""

from collections.abc import Set

__all__ = ["ModelFallback"]

OVERLOADED = 0.1  # of the frames dropped: beyond it the device is too slow
OVERLOADED_S = 1.0  # of overload before falling back
SETTLE_S = 2.0  # after a change of model: what was in flight before it does not count
RESTORE_AFTER_S = 10.0  # without a drop before a better model is tried the first time
MAX_RESTORE_AFTER_S = 320.0  # that wait doubles up to this as the tries fail
RESTORED_S = 60.0  # a better model that has run so long has not failed


class ModelFallback:
    """The models of one stream by number: 0 was asked for, the last one is the cheapest.

    ``observe`` it about twice a second. Overload bounds how good a model may run, and what loses
    to plain scaling on this stream is passed over, save the last one: so neither undoes what the
    other has decided. A better model whose try is followed by overload was restored too early:
    the next try waits twice as long. One that loses is not tried.
    """

    def __init__(self, models: int) -> None:
        if models < 1:
            raise ValueError(f"models: got {models}, allowed is 1 or more")
        self.current = 0  # the number of the model to run
        self.restored = False  # the newest change was back to a better model, which may yet fail
        self._cheapest = models - 1
        self._held = 0  # the best model that the device is thought to hold
        self._counted: tuple[int, int] | None = None  # frames and drops by the last observation
        self._overloaded_since_s: float | None = None
        self._dropped_s = float("-inf")  # the newest drop, or the start
        self._changed_s = float("-inf")  # the newest change of model
        self._restore_after_s = RESTORE_AFTER_S

    def observe(
        self, frames: int, dropped: int, waiting: int, now_s: float, losing: Set[int] = frozenset()
    ) -> str | None:
        """Returns the reason for a change of model, after which ``current`` is the one to run.

        Takes how many frames were taken or dropped so far, how many of them were dropped, how many
        wait, and which models lose to plain scaling. While frames wait and none is taken nothing
        is known: a device that takes a second a frame is overloaded in between, too.
        """
        came, lost = self._count(frames, dropped, waiting, now_s)
        if lost and self.current < self._cheapest and self._is_too_slow(now_s):
            if self.restored:
                self._restore_after_s = min(2 * self._restore_after_s, MAX_RESTORE_AFTER_S)
            self._held = self.current + 1
            self._change(self._best(losing), now_s)
            return f"{lost} of the last {came} frames came too late"
        best = self._best(losing)
        if best != self.current:
            self._change(best, now_s)
            if self.restored:
                return "the latter is better than plain scaling again"
            return "the former is worse than plain scaling on this stream"
        better = [n for n in range(self.current) if n not in losing]
        if better and now_s - max(self._dropped_s, self._changed_s) >= self._restore_after_s:
            self._held = better[-1]
            self._change(self._held, now_s)
            return f"no frame was late for {self._restore_after_s:.0f} s"
        return None

    def _count(self, frames: int, dropped: int, waiting: int, now_s: float) -> tuple[int, int]:
        """Returns how many frames came since the last observation, and how many of them were lost;
        notes whether that is too many."""
        before, self._counted = self._counted, (frames, dropped)
        if before is None:
            before, self._dropped_s = (frames, dropped), now_s
        came, lost = frames - before[0], dropped - before[1]
        if lost:
            self._dropped_s = now_s
        if self.restored and now_s - self._changed_s >= RESTORED_S:
            self._restore_after_s, self.restored = RESTORE_AFTER_S, False
        busy = waiting and not came
        if now_s - self._changed_s < SETTLE_S or (lost <= OVERLOADED * came and not busy):
            self._overloaded_since_s = None
        elif lost and self._overloaded_since_s is None:
            self._overloaded_since_s = now_s
        return came, lost

    def _is_too_slow(self, now_s: float) -> bool:
        since_s = self._overloaded_since_s
        return since_s is not None and now_s - since_s >= OVERLOADED_S

    def _best(self, losing: Set[int]) -> int:
        """The best model that the device holds and that does not lose; at worst the cheapest."""
        held = range(self._held, self._cheapest)
        return next((n for n in held if n not in losing), self._cheapest)

    def _change(self, to: int, now_s: float) -> None:
        self.restored = to < self.current
        self.current, self._changed_s, self._overloaded_since_s = to, now_s, None
