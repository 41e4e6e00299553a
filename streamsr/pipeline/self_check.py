"""A stream's self-check: now and then a frame is shrunk, upscaled and compared with itself.

Owns a check's frames, their own way through the engine and the thread that follows them. The
stream's frames, counts and state are never touched, and nothing of it waits for a check.
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.redact import redact
from streamsr.engine.base import EngineStream
from streamsr.engine.discontinuity import DiscontinuityDetector
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.contest import CHECKS, Contest
from streamsr.pipeline.model_session import Step
from streamsr.pipeline.trial import ahead_db, cropped, shrunk

__all__ = ["SelfCheck"]

MEMORIES = 8  # frames that a recurrent network has seen before the one that counts
SMALLEST = 32  # pixels of a shrunk frame's side: below it most of it is border

logger = logging.getLogger("streamsr")


class SelfCheck:
    """The checks of one stream, ``every_s`` seconds apart; 0 for none.

    Where it is ``on``, ``run()`` it in a thread of its own until ``close()``, while another lets it
    ``see`` the stream's frames.
    """

    def __init__(self, name: str, every_s: float, emit: Emit) -> None:
        self.on = every_s > 0
        self.counts: Counter[str] = Counter()  # of checks "made", "skipped" and "failed"
        self._name = name
        self._every_s = every_s
        self._emit = emit
        self._due_s = monotonic() + every_s if self.on else float("inf")  # the next check
        self._contests: dict[Step, Contest] = {}  # of the steps that were checked
        self._clip: list[Frame] = []  # what the next check has of its frames
        self._step: Step | None = None  # that ran them
        self._frames = 0  # that a check of it takes; 0: there is nothing to check
        self._breaks = DiscontinuityDetector(1)  # of the frames of a check
        self._clips: Channel[tuple[Step, EngineStream, Sequence[Frame]]] = Channel(1, Overflow.WAIT)
        self._busy = False  # from the handing over of a clip until its check is done
        self._closing = threading.Event()
        self._said: set[str] = set()  # reasons for a check that was skipped

    def see(self, step: Step, stream: EngineStream, frame: Frame) -> None:
        """Take a frame that ``stream`` runs by ``step``: part of a check, if one is due. Never
        waits."""
        if self._busy or monotonic() < self._due_s:
            return
        if step is not self._step:
            model = step.engine.model
            self._step, self._frames = step, _frames(model)
            self._breaks = DiscontinuityDetector(model.facts.window, recurrent=model.recurrent)
            self._clip = []
        if not self._frames:
            return
        if self._breaks.starts_anew(frame):
            self._clip = []
        self._clip.append(frame)
        if len(self._clip) == self._frames:
            self._hand_over(step, stream)

    def contest(self, step: Step) -> Contest:
        """How the network of a step stands against bicubic on this stream."""
        return self._contests.setdefault(step, Contest())

    def run(self) -> None:
        """Check what is handed over, until ``close``."""
        with suppress(Closed):
            while True:
                self._check(*self._clips.receive())
                self._busy = False

    def close(self) -> None:
        """Begin no check; one under way is given up before its next frame."""
        self._closing.set()
        self._clips.abort()

    def _hand_over(self, step: Step, stream: EngineStream) -> None:
        self._busy, self._due_s = True, monotonic() + self._every_s
        clip, self._clip = self._clip, []
        with suppress(Closed):  # the stream ends
            self._clips.send((step, stream, clip))

    def _check(self, step: Step, beside: EngineStream, clip: Sequence[Frame]) -> None:
        contest = self.contest(step)
        try:
            gain_db = self._gain_db(step, beside, clip)
        except _SkippedError as reason:
            contest.miss()
            self._skipped(str(reason))
        except Exception as error:  # whatever it is, the stream goes on, and a later check too
            if not self._closing.is_set():
                contest.miss()
                self._failed(error)
        else:
            self.counts["made"] += 1
            self._judge(step, contest, gain_db)

    def _gain_db(self, step: Step, beside: EngineStream, clip: Sequence[Frame]) -> float:
        """Run a clip, shrunk; give by how much its last frame that has all it looks at is above
        bicubic. Raises _SkippedError, and what the engine raises."""
        facts = step.engine.model.facts
        if min(clip[-1].height, clip[-1].width) < SMALLEST * facts.scale:
            raise _SkippedError(
                f"a frame of {clip[-1].width}x{clip[-1].height} is too small for it: allowed are "
                f"sides from {SMALLEST * facts.scale} on"
            )
        upscaled = self._upscaled(step, beside, clip)
        newest = len(clip) - 1 - facts.lookahead
        if len(upscaled) <= newest:
            raise _SkippedError("the scene was cut")
        truth = cropped(clip[newest], facts.scale)
        gain_db = ahead_db(truth, shrunk(truth, facts.scale), upscaled[newest])
        if gain_db is None:
            raise _SkippedError("the picture is flat: there is nothing to be won")
        return gain_db

    def _upscaled(self, step: Step, beside: EngineStream, clip: Sequence[Frame]) -> list[Frame]:
        """What a clip, shrunk, completes as a stream of its own, one frame after the other."""
        scale = step.engine.model.facts.scale
        troubles: list[Event] = []
        name, meter = f"{self._name} self-check", Meter()
        stream = step.engine.stream(name, meter, troubles.append, beside=beside)
        done: list[Frame] = []
        for frame in clip:
            if self._closing.is_set():
                raise Closed
            small = shrunk(cropped(frame, scale), scale)
            done += [future.result() for future in stream.push(small)]
        if troubles:
            raise RuntimeError(troubles[0].message)
        return done

    def _judge(self, step: Step, contest: Contest, gain_db: float) -> None:
        middle_db = contest.take(gain_db)
        if middle_db is None:
            return
        code = Code.SR_LOSES if contest.loses else Code.SR_WINS
        said = f"{abs(middle_db):.2f} dB, the median of {CHECKS} self-checks"
        if contest.loses:
            message = (
                f"{step.name} is below bicubic on this stream by {said}: fine-tune it on clips of "
                f"this camera (streamsr train --init MODEL --data FOLDER), or choose another "
                "model"
            )
        else:
            message = f"{step.name} is above bicubic again by {said}"
        self._emit(Event(code, self._name, message))

    def _failed(self, error: Exception) -> None:
        self.counts["failed"] += 1
        logger.warning(
            "[%s] the self-check failed: %s: %s; it is tried again in %g s",
            self._name,
            type(error).__name__,
            redact(error),
            self._every_s,
        )

    def _skipped(self, reason: str) -> None:
        self.counts["skipped"] += 1
        if reason not in self._said:
            self._said.add(reason)
            logger.warning("[%s] the self-check was skipped: %s", self._name, reason)


class _SkippedError(Exception):
    """There is nothing that a check could say of these frames: why."""


def _frames(model: SlidingWindow) -> int:
    """How many frames a check of a model takes; 0 where there is nothing to check."""
    if isinstance(model.network, Resample) or model.facts.scale == 1:
        return 0
    memories = MEMORIES if model.recurrent else 0
    return model.facts.window + memories
