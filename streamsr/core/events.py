"""Events: stable codes, a sentence for people, and a log of them that repeats nothing."""

import logging
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum

from streamsr.core.redact import redact
from streamsr.core.throttle import Throttle

__all__ = ["Code", "Emit", "Event", "EventLog"]

logger = logging.getLogger("streamsr")


class Code(StrEnum):
    """Stable names: other software may act on them."""

    SRC_UP = "SRC_UP"  # a live source delivers
    SRC_DOWN = "SRC_DOWN"  # a live source does not deliver; it is tried again
    SRC_AUTH = "SRC_AUTH"  # a live source refuses the credentials; tried again, seldom
    SRC_WAITING = "SRC_WAITING"  # a live source is connected and shows nothing yet
    SRC_TIME = "SRC_TIME"  # the source's time stamps jumped; joined, or a gap that is kept
    SRC_DAMAGED = "SRC_DAMAGED"  # the decoder meets damaged data
    SRC_INTERLACED = "SRC_INTERLACED"  # the source is interlaced; deinterlaced
    SRC_REDUCED = "SRC_REDUCED"  # the source has what the output does not hold
    OUT_FAILED = "OUT_FAILED"  # an output cannot be written
    AUDIO_DROPPED = "AUDIO_DROPPED"  # audio waited too long for its frame
    OUT_UP = "OUT_UP"  # an output's server or disk takes the stream
    OUT_DOWN = "OUT_DOWN"  # it does not; it is tried again
    REC_FULL = "REC_FULL"  # no space to record; goes on by itself when there is
    WORKER_DOWN = "WORKER_DOWN"  # a worker process ended; it is started again
    WORKER_UP = "WORKER_UP"  # a worker process took the place of one that ended
    SR_FAILED = "SR_FAILED"  # the network gave no usable frame; scaled plainly instead
    SR_LOSES = "SR_LOSES"  # by the self-checks the network has been worse than bicubic for long
    SR_WINS = "SR_WINS"  # it has been better again for as long
    OVERLOAD = "OVERLOAD"  # frames or packets are dropped, since what takes them is too slow
    MODEL_FALLBACK = "MODEL_FALLBACK"  # too slow, or worse than bicubic: the stream runs another
    MODEL_RESTORED = "MODEL_RESTORED"  # the stream runs a better model again
    MODEL_FAILED = "MODEL_FAILED"  # a model cannot be loaded; the one before it goes on
    STREAM_FAILED = "STREAM_FAILED"  # a stream ended with an error; others go on
    CONFIG_RELOADED = "CONFIG_RELOADED"  # the node runs by its changed file
    CONFIG_REFUSED = "CONFIG_REFUSED"  # the changed file is wrong; nothing of it is taken
    MQTT_UP = "MQTT_UP"  # the broker is there
    MQTT_DOWN = "MQTT_DOWN"  # it is not; it is tried again
    MQTT_AUTH = "MQTT_AUTH"  # it refuses the credentials; tried again, seldom
    ACCESS_REFUSED = "ACCESS_REFUSED"  # a client has a wrong token, or comes from another site
    TLS_EXPIRES = "TLS_EXPIRES"  # the server's certificate ends soon, or has ended
    CMD_REFUSED = "CMD_REFUSED"  # a command cannot be carried out


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one stream. ``message`` holds no secret."""

    code: Code
    stream: str
    message: str  # what happened, and what is being done about it


Emit = Callable[[Event], None]


LASTING_S = 600.0  # between two lines of what lasts and does not change
LASTING = frozenset(
    {
        Code.SRC_DOWN,
        Code.SRC_AUTH,
        Code.SRC_WAITING,
        Code.OUT_DOWN,
        Code.REC_FULL,
        Code.MQTT_DOWN,
        Code.MQTT_AUTH,
    }
)
DURATION = re.compile(r"\b\d+(\.\d+)? s\b")  # of the next try, or of a silence: no change


class EventLog:
    """Logs events, a repeating code of one stream once a second at most, and counts them all.

    What lasts, such as a camera that is away, is logged when its message changes or it was over
    in between, and else once in ten minutes.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock  # monotonic seconds
        self._throttle = Throttle()
        self._lasting = Throttle(LASTING_S)
        self.counts: dict[Code, int] = {}

    def __call__(self, event: Event) -> None:
        self.counts[event.code] = self.counts.get(event.code, 0) + 1
        held_back = self._admit(event)
        if held_back is None:
            return
        more = f" ({held_back} more of these were not logged)" if held_back else ""
        logger.warning("%s [%s] %s%s", event.code, event.stream, redact(event.message), more)

    def _admit(self, event: Event) -> int | None:
        """How many like it were not logged since the last one; None: nor is this one."""
        kind, _, what = event.code.partition("_")
        if what == "UP":
            self._lasting.forget(lambda key: _belongs(key, event.stream, kind))
        if event.code in LASTING:
            key = (event.stream, event.code, DURATION.sub("", event.message))
            return self._lasting.admit(key, self._clock())
        return self._throttle.admit((event.stream, event.code), self._clock())


def _belongs(key: Hashable, stream: str, kind: str) -> bool:
    """Whether a key of what lasts is of that stream, and of that kind: SRC, OUT, MQTT."""
    return isinstance(key, tuple) and key[0] == stream and key[1].startswith(f"{kind}_")
