"""When a stream steps down to a cheaper model, and when it may try the dearer one again. Pure."""

__all__ = ["ModelFallback"]

OVERLOADED = 0.1  # of the frames dropped: beyond it the device is too slow
PATIENCE_S = 1.0  # of overload before a step down
SETTLE_S = 2.0  # after a step: what was under way before it does not count
CALM_S = 10.0  # without a drop before the first step up
LONGEST_CALM_S = 320.0  # the wait doubles up to this as steps up fail
HELD_S = 60.0  # a step up that lasted so long has not failed


class ModelFallback:
    """The steps of one stream: 0 is the model that was asked for, the last one the cheapest.

    ``observe`` it about twice a second. A step up that is followed by overload was too early:
    the next one waits twice as long.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"steps: got {steps}, allowed is 1 or more")
        self.step = 0
        self._last = steps - 1
        self._seen: tuple[int, int] | None = None  # frames and drops, counted so far
        self._overloaded_s: float | None = None  # since when
        self._dropped_s: float | None = None  # the newest drop, or the start
        self._stepped_s = float("-inf")  # the newest step
        self._raised = False  # that was one up
        self._calm_s = CALM_S

    def observe(self, frames: int, dropped: int, waiting: int, now_s: float) -> str | None:
        """Take how many frames were taken or dropped so far, how many of them were dropped, and
        how many wait; give the reason for a step, if any.

        After a reason was given, ``step`` is the one to run. While frames wait and none is taken
        nothing is known: a device that takes a second a frame is overloaded in between, too.
        """
        before, self._seen = self._seen or (frames, dropped), (frames, dropped)
        came, lost = frames - before[0], dropped - before[1]
        if lost or self._dropped_s is None:
            self._dropped_s = now_s
        if self._raised and now_s - self._stepped_s >= HELD_S:
            self._calm_s, self._raised = CALM_S, False
        busy = waiting and not came
        if now_s - self._stepped_s < SETTLE_S or (lost <= OVERLOADED * came and not busy):
            self._overloaded_s = None
        elif lost and self._overloaded_s is None:
            self._overloaded_s = now_s
        if lost and self._is_too_slow(now_s):
            return self._down(f"{lost} of the last {came} frames came too late", now_s)
        if self.step > 0 and now_s - max(self._dropped_s, self._stepped_s) >= self._calm_s:
            return self._up(f"no frame was late for {self._calm_s:.0f} s", now_s)
        return None

    def _is_too_slow(self, now_s: float) -> bool:
        since_s = self._overloaded_s
        return since_s is not None and now_s - since_s >= PATIENCE_S and self.step < self._last

    def _down(self, reason: str, now_s: float) -> str:
        if self._raised:
            self._calm_s = min(2 * self._calm_s, LONGEST_CALM_S)
        self._stepped_s, self._raised, self._overloaded_s = now_s, False, None
        self.step += 1
        return reason

    def _up(self, reason: str, now_s: float) -> str:
        self._stepped_s, self._raised = now_s, True
        self.step -= 1
        return reason
