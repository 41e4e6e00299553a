"""Whether a controller may decide, by what Ray says of who the controller is. Pure.

An older process that was cut off may not know of the one in its place. Where Ray cannot be asked,
it prolongs what is, for a while that one in its place waits for before it gives anything away.
"""

import math

from streamsr.fleet.controller import GRACE_S, Controller

__all__ = ["ASK_S", "Confirmation"]

ASK_S = 0.5  # for Ray to say who the controller is


class Confirmation:
    """What Ray last said of one controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._confirmed = -math.inf  # monotonic, when Ray was asked that said so

    def takes(self, answer: bool | None, asked: float, now: float, reason: str = "") -> bool:
        """Takes what Ray says, None for nothing. Returns whether all may be decided; where not,
        what there is may be prolonged. Raises ConnectionError where nothing may be."""
        if answer is not None:
            if not answer:
                raise ConnectionError("another process is the controller")
            self._confirmed = asked
            return True
        if now - self._confirmed > GRACE_S:
            raise ConnectionError(f"Ray does not answer: {reason}")
        self._controller.hold(now + ASK_S)
        return False
