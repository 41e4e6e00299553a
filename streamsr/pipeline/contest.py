"""A network against bicubic on one stream: when it has lost for long, and when it wins again. Pure.

Knows no picture: it is told how each check ended.
"""

from collections import deque
from statistics import median

__all__ = ["CHECKS", "Contest"]

CHECKS = 11  # their median decides: no one scene, and no passing one, is an alarm


class Contest:
    """Takes checks as they are made. The network loses while its last checks' median is below 0 dB.

    After each turn as many checks must be made anew before the next.
    """

    def __init__(self) -> None:
        self.loses = False
        self.newest_db: float | None = None  # PSNR above bicubic's; None: the last check gave none
        self._gains_db: deque[float] = deque(maxlen=CHECKS)  # since the last turn

    def take(self, gain_db: float) -> float | None:
        """Take a check; where it turns the contest, give the median in dB that did."""
        self.newest_db = gain_db
        self._gains_db.append(gain_db)
        middle_db = median(self._gains_db)
        if len(self._gains_db) < CHECKS or (middle_db < 0) == self.loses:
            return None
        self.loses = not self.loses
        self._gains_db.clear()
        return middle_db

    def miss(self) -> None:
        """Note a check that gave no figure: it decides nothing."""
        self.newest_db = None
