"""A stream's self-check: now and then a frame is shrunk, upscaled again and compared with itself.

Owns a check's frames, their own way through the engine and the thread that follows them. The
stream's frames, counts and state are never touched, and nothing of it waits for a check.
"""

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from statistics import median
from time import monotonic

from torch import Tensor

from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.redact import redact
from streamsr.engine.base import EngineStream
from streamsr.engine.colour import network_input
from streamsr.engine.discontinuity import DiscontinuityDetector
from streamsr.engine.resample import resize_frame
from streamsr.networks.facts import Colour
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.model_session import LoadedModel

__all__ = ["CHECKS", "MEMORIES", "BicubicComparison", "SelfCheck", "gain_db"]

MEMORIES = 8  # frames that a recurrent network has seen before the one that counts
SMALLEST = 32  # pixels of a shrunk frame's side: below it most of it is border
CHECKS = 11  # their median decides: no one scene, and no passing one, is an alarm
FLAT = 0.65  # levels²: where bicubic errs less, at 50 dB, nothing is left to gain but rounding

logger = logging.getLogger("streamsr")


class BicubicComparison:
    """A network against bicubic on one stream: it loses while the median of its last checks is
    below 0 dB. After each change of that as many checks must be made again before the next."""

    def __init__(self) -> None:
        self.loses = False
        self.newest_db: float | None = None  # PSNR above bicubic's; None: the last check gave none
        self._gains_db: deque[float] = deque(maxlen=CHECKS)  # since the last change

    def take(self, gained_db: float) -> float | None:
        """Takes a check; where it changes which of the two wins, returns the median in dB."""
        self.newest_db = gained_db
        self._gains_db.append(gained_db)
        middle_db = median(self._gains_db)
        if len(self._gains_db) < CHECKS or (middle_db < 0) == self.loses:
            return None
        self.loses = not self.loses
        self._gains_db.clear()
        return middle_db

    def miss(self) -> None:
        """Notes a check that gave no figure: it decides nothing."""
        self.newest_db = None


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
        self._clip: list[Frame] = []  # what the next check has of its frames
        self._model: LoadedModel | None = None  # that ran them
        self._frames = 0  # that a check of it takes; 0: there is nothing to check
        self._discontinuities = DiscontinuityDetector(1)  # of the frames of a check
        self._clips: Channel[tuple[LoadedModel, EngineStream, Sequence[Frame]]]
        self._clips = Channel(1, Overflow.WAIT)
        self._busy = False  # from the handing over of a clip until its check is done
        self._closing = threading.Event()
        self._reasons: set[str] = set()  # for skipping a check, that were logged

    def see(self, model: LoadedModel, stream: EngineStream, frame: Frame) -> None:
        """Takes a frame that ``stream`` runs, for a check if one is due. Never waits."""
        if self._busy or monotonic() < self._due_s:
            return
        if model is not self._model:
            network = model.engine.model
            self._model, self._frames, self._clip = model, _frames(network), []
            self._discontinuities = DiscontinuityDetector(
                network.facts.window, recurrent=network.recurrent
            )
        if not self._frames:
            return
        if self._discontinuities.is_discontinuity(frame):
            self._clip = []
        self._clip.append(frame)
        if len(self._clip) == self._frames:
            self._busy, self._due_s = True, monotonic() + self._every_s
            clip, self._clip = self._clip, []
            with suppress(Closed):  # the stream ends
                self._clips.send((model, stream, clip))

    def comparison(self, model: LoadedModel) -> BicubicComparison:
        """Returns how a model stands against bicubic on this stream."""
        return self._comparisons.setdefault(model, BicubicComparison())

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

    def _check(self, model: LoadedModel, beside: EngineStream, clip: Sequence[Frame]) -> None:
        comparison = self.comparison(model)
        try:
            gained_db = self._gained_db(model, beside, clip)
        except _SkippedError as reason:
            comparison.miss()
            self._skipped(str(reason))
        except Exception as error:  # whatever it is, the stream goes on, and a later check too
            if not self._closing.is_set():
                comparison.miss()
                self._failed(error)
        else:
            self.counts["made"] += 1
            self._judge(model, comparison, gained_db)

    def _gained_db(self, model: LoadedModel, beside: EngineStream, clip: Sequence[Frame]) -> float:
        """Runs a clip, shrunk, and returns the gain over bicubic of its last frame that has all
        the network looks at. Raises _SkippedError, and what the engine raises."""
        facts = model.engine.model.facts
        if min(clip[-1].height, clip[-1].width) < SMALLEST * facts.scale:
            raise _SkippedError(
                f"a frame of {clip[-1].width}x{clip[-1].height} is too small for it: allowed are "
                f"sides from {SMALLEST * facts.scale} on"
            )
        upscaled = self._upscaled(model, beside, clip)
        newest = len(clip) - 1 - facts.lookahead
        if len(upscaled) <= newest:
            raise _SkippedError("the scene was cut")
        truth = clip[newest].cropped(2 * facts.scale)
        gained_db = gain_db(truth, _shrunk(truth, facts.scale), upscaled[newest])
        if gained_db is None:
            raise _SkippedError("the frame is flat: there is nothing to gain")
        return gained_db

    def _upscaled(
        self, model: LoadedModel, beside: EngineStream, clip: Sequence[Frame]
    ) -> list[Frame]:
        """What a clip, shrunk, completes as a stream of its own, one frame after the other."""
        scale = model.engine.model.facts.scale
        troubles: list[Event] = []
        name, meter = f"{self._name} self-check", Meter()
        stream = model.engine.stream(name, meter, troubles.append, beside=beside)
        done: list[Frame] = []
        for frame in clip:
            if self._closing.is_set():
                raise Closed
            small = _shrunk(frame.cropped(2 * scale), scale)
            done += [future.result() for future in stream.push(small)]
        if troubles:
            raise RuntimeError(troubles[0].message)
        return done

    def _judge(self, model: LoadedModel, comparison: BicubicComparison, gained_db: float) -> None:
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
        if reason not in self._reasons:
            self._reasons.add(reason)
            logger.warning("[%s] the self-check was skipped: %s", self._name, reason)


class _SkippedError(Exception):
    """There is nothing that a check could say of these frames: why."""


def _frames(model: SlidingWindow) -> int:
    """How many frames a check of a model takes; 0 where there is nothing to check."""
    if isinstance(model.network, Resample) or model.facts.scale == 1:
        return 0
    memories = MEMORIES if model.recurrent else 0
    return model.facts.window + memories


def gain_db(truth: Frame, small: Frame, upscaled: Frame) -> float | None:
    """Returns by how much the luma PSNR of ``upscaled`` is above that of bicubic, both made of
    ``small`` and compared with ``truth``, in dB; None of a flat frame, where only rounding errs."""
    wanted = _luma(truth)
    bicubic = resize_frame(small, truth.width, truth.height)
    bicubic_error = _squared_error(_luma(bicubic), wanted)
    if bicubic_error < FLAT:
        return None
    return 10 * math.log10(bicubic_error / max(_squared_error(_luma(upscaled), wanted), FLAT / 100))


def _shrunk(frame: Frame, scale: int) -> Frame:
    return resize_frame(frame, frame.width // scale, frame.height // scale)


def _luma(frame: Frame) -> Tensor:
    """(h, w) in levels of limited range."""
    return network_input(frame, Colour.LUMA)[0] * 255


def _squared_error(levels: Tensor, truth: Tensor) -> float:
    return float((levels - truth).square().mean())
