"""A stream's self-check: now and then a few of its frames are shrunk, sent as the camera sends and
upscaled again by each of its models; the result is compared with the frames themselves.

Owns a check's frames, their own way through the engines and the thread that follows them. The
stream's frames, counts and state are never touched, and nothing of it waits for a check.
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from time import monotonic

from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.redact import redact
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import EngineStream, StreamRequest
from streamsr.engine.discontinuity import DiscontinuityDetector
from streamsr.media.camera_codec import QuantiserSearch
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.comparison import (
    CHECKS,
    BicubicComparison,
    NothingToCompareError,
    ShrunkClip,
)
from streamsr.pipeline.model_session import LoadedModel

__all__ = ["COUNTED", "MEMORIES", "SelfCheck"]

COUNTED = 4  # frames of a check
MEMORIES = 8  # frames before them, which a recurrent network has seen, and an encoder
RESULTS = ("failed", "made", "skipped")  # of the models of a check the first one is the check's
LARGEST_DENOMINATOR = 8  # of a check's scale, which is about the stream's

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
        self._comparisons: dict[LoadedModel, BicubicComparison] = {}
        self._search = QuantiserSearch()
        self._clip: list[Frame] = []  # what the next check has of its frames
        self._models: Sequence[LoadedModel] = ()  # of the stream
        self._compared: list[LoadedModel] = []  # those of them that are networks
        self._frames = 0  # that a check of them takes
        self._discontinuities = DiscontinuityDetector(1)  # of the frames of a check
        self._clips: Channel[tuple[list[LoadedModel], EngineStream, Sequence[Frame]]]
        self._clips = Channel(1, Overflow.WAIT)
        self._busy = False  # from the handing over of a clip until its check is done
        self._closing = threading.Event()
        self._reasons: set[str] = set()  # for skipping a check, that were logged

    def see(self, models: Sequence[LoadedModel], stream: EngineStream, frame: Frame) -> None:
        """Takes a frame that ``stream`` runs, by one of ``models``, for a check of all of them if
        one is due. Never waits."""
        if self._busy or monotonic() < self._due_s:
            return
        if models is not self._models:
            self._begin(models)
        if not self._compared:
            return
        if self._discontinuities.is_discontinuity(frame):
            self._clip = []
        self._clip.append(frame)
        if len(self._clip) == self._frames:
            self._busy, self._due_s = True, monotonic() + self._every_s
            clip, self._clip = self._clip, []
            with suppress(Closed):  # the stream ends
                self._clips.send((self._compared, stream, clip))

    def ask(self) -> None:
        """Makes the next check due now. Any thread may call it."""
        self._due_s = monotonic()

    def comparison(self, models: Sequence[LoadedModel]) -> BicubicComparison:
        """Returns how the first of a stream's models, the wanted one, stands against bicubic."""
        return self._of(models[0]) if models else BicubicComparison()

    def loses(self, model: LoadedModel) -> bool:
        """Returns whether a model loses to bicubic on this stream."""
        return self._of(model).loses

    def run(self) -> None:
        """Checks what is handed over, until ``close``."""
        with suppress(Closed):
            while True:
                self._check(*self._clips.receive())
                self._busy = False

    def close(self) -> None:
        """Begins no check; one that is being made is given up before its next frame."""
        self._closing.set()
        self._clips.abort()

    def _begin(self, models: Sequence[LoadedModel]) -> None:
        """Goes on with other models."""
        self._models, self._clip = models, []
        self._compared = [model for model in models if _is_network(model.engine.model)]
        networks = [model.engine.model for model in self._compared]
        windows = [network.facts.window for network in networks]
        self._frames = COUNTED + max([MEMORIES, *(window - 1 for window in windows)])
        across_gaps = all(n.recurrent or n.facts.window == 1 for n in networks)
        self._discontinuities = DiscontinuityDetector(self._frames, recurrent=across_gaps)

    def _check(
        self, models: list[LoadedModel], beside: EngineStream, clip: Sequence[Frame]
    ) -> None:
        try:
            shrunk = ShrunkClip.of(clip, _scale(beside, clip[-1]), self._search)
        except NothingToCompareError as reason:
            ended = {self._skipped(models, str(reason))}
        except Exception as error:  # whatever it is, the stream goes on, and a later check too
            ended = {self._failed(models, error)}
        else:
            gains_db = [self._gained_db(model, beside, shrunk) for model in models]
            ended = {db if isinstance(db, str) else "made" for db in gains_db}
            for model, db in zip(models, gains_db, strict=True):  # at once: what steers sees all
                if not isinstance(db, str):
                    self._judge(model, db)
        if not self._closing.is_set():
            self.counts[next(result for result in RESULTS if result in ended)] += 1

    def _gained_db(
        self, model: LoadedModel, beside: EngineStream, shrunk: ShrunkClip
    ) -> float | str:
        """What a model gains over bicubic on a clip; "skipped" or "failed" where that is not
        known."""
        try:
            upscaled = self._upscaled(model, beside, shrunk)
            # frames that lack what follows them do not count
            end = len(upscaled) - model.engine.model.facts.lookahead
            return shrunk.gain_db(upscaled, slice(end - COUNTED, end))
        except NothingToCompareError as reason:
            return self._skipped([model], str(reason))
        except Exception as error:  # likewise, and the other models are compared
            return self._failed([model], error)

    def _upscaled(
        self, model: LoadedModel, beside: EngineStream, shrunk: ShrunkClip
    ) -> list[Frame]:
        """A shrunk clip as a stream of its own, one frame after the other, in the size it had."""
        truth, troubles = shrunk.truth[0], list[Event]()
        request = StreamRequest(
            f"{self._name} self-check",
            Meter(),
            troubles.append,
            beside=beside,
            target=TargetSize(truth.width, truth.height),
        )
        stream = model.engine.stream(request)
        done: list[Frame] = []
        for frame in shrunk.small:
            if self._closing.is_set():
                raise Closed
            done += [future.result() for future in stream.push(frame)]
        done += [future.result() for future in stream.flush()]
        if troubles:
            raise RuntimeError(troubles[0].message)
        return done

    def _judge(self, model: LoadedModel, gained_db: float) -> None:
        comparison = self._of(model)
        middle_db = comparison.take(gained_db)
        if middle_db is None:
            return
        code = Code.SR_LOSES if comparison.loses else Code.SR_WINS
        by = f"{abs(middle_db):.2f} dB, the median of {CHECKS} self-checks"
        if comparison.loses:
            message = (
                f"{model.name} is below bicubic on this stream by {by}: fine-tune it on clips of "
                f"this camera (streamsr train --init MODEL --data FOLDER), or choose another "
                "model"
            )
        else:
            message = f"{model.name} is above bicubic again by {by}"
        self._emit(Event(code, self._name, message))

    def _failed(self, models: Sequence[LoadedModel], error: Exception) -> str:
        if not self._closing.is_set():  # else it was given up
            self._miss(models)
            logger.warning(
                "[%s] the self-check failed: %s: %s; it is tried again in %g s",
                self._name,
                type(error).__name__,
                redact(error),
                self._every_s,
            )
        return "failed"

    def _skipped(self, models: Sequence[LoadedModel], reason: str) -> str:
        self._miss(models)
        if reason not in self._reasons:
            self._reasons.add(reason)
            logger.warning("[%s] the self-check was skipped: %s", self._name, reason)
        return "skipped"

    def _miss(self, models: Sequence[LoadedModel]) -> None:
        for model in models:
            self._of(model).miss()

    def _of(self, model: LoadedModel) -> BicubicComparison:
        return self._comparisons.setdefault(model, BicubicComparison())


def _is_network(model: SlidingWindow) -> bool:
    """Whether there is something to compare with plain scaling."""
    return not isinstance(model.network, Resample)


def _scale(stream: EngineStream, frame: Frame) -> Fraction:
    """How much larger the stream's results are than its frames; 1 where they are not."""
    width, _ = stream.size_of(frame)
    return max(Fraction(1), Fraction(width, frame.width).limit_denominator(LARGEST_DENOMINATOR))
