"""When a stream falls back to a cheaper model, and when a better one is tried again. Pure."""

__all__ = ["ModelFallback"]

OVERLOADED = 0.1  # of the frames dropped: beyond it the device is too slow
OVERLOADED_S = 1.0  # of overload before falling back
SETTLE_S = 2.0  # after a change of model: what was in flight before it does not count
RESTORE_AFTER_S = 10.0  # without a drop before a better model is tried the first time
MAX_RESTORE_AFTER_S = 320.0  # that wait doubles up to this as the tries fail
RESTORED_S = 60.0  # a better model that has run so long has not failed


class ModelFallback:
    """The models of one stream by number: 0 was asked for, the last one is the cheapest.

    ``observe`` it about twice a second. A better model whose try is followed by overload was
    restored too early: the next try waits twice as long.
    """

    def __init__(self, models: int) -> None:
        if models < 1:
            raise ValueError(f"models: got {models}, allowed is 1 or more")
        self.current = 0  # the number of the model to run
        self.restored = False  # the newest change was back to a better model, which may yet fail
        self._cheapest = models - 1
        self._counted: tuple[int, int] | None = None  # frames and drops by the last observation
        self._overloaded_since_s: float | None = None
        self._dropped_s: float | None = None  # the newest drop, or the start
        self._changed_s = float("-inf")  # the newest change of model
        self._restore_after_s = RESTORE_AFTER_S

    def observe(self, frames: int, dropped: int, waiting: int, now_s: float) -> str | None:
        """Returns the reason for a change of model, after which ``current`` is the one to run.

        Takes how many frames were taken or dropped so far, how many of them were dropped, and how
        many wait. While frames wait and none is taken nothing is known: a device that takes a
        second a frame is overloaded in between, too.
        """
        before, self._counted = self._counted or (frames, dropped), (frames, dropped)
        came, lost = frames - before[0], dropped - before[1]
        if lost or self._dropped_s is None:
            self._dropped_s = now_s
        if self.restored and now_s - self._changed_s >= RESTORED_S:
            self._restore_after_s, self.restored = RESTORE_AFTER_S, False
        busy = waiting and not came
        if now_s - self._changed_s < SETTLE_S or (lost <= OVERLOADED * came and not busy):
            self._overloaded_since_s = None
        elif lost and self._overloaded_since_s is None:
            self._overloaded_since_s = now_s
        if lost and self.current < self._cheapest and self._is_too_slow(now_s):
            self._fall_back(now_s)
            return f"{lost} of the last {came} frames came too late"
        calm_s = now_s - max(self._dropped_s, self._changed_s)
        if self.current > 0 and calm_s >= self._restore_after_s:
            self._restore(now_s)
            return f"no frame was late for {self._restore_after_s:.0f} s"
        return None

    def _is_too_slow(self, now_s: float) -> bool:
        since_s = self._overloaded_since_s
        return since_s is not None and now_s - since_s >= OVERLOADED_S

    def _fall_back(self, now_s: float) -> None:
        if self.restored:
            self._restore_after_s = min(2 * self._restore_after_s, MAX_RESTORE_AFTER_S)
        self._changed_s, self.restored, self._overloaded_since_s = now_s, False, None
        self.current += 1

    def _restore(self, now_s: float) -> None:
        self._changed_s, self.restored = now_s, True
        self.current -= 1
