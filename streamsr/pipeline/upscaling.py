"""Upscaling: the engine's thread passes the frames that are in time to the model that suits their
source, and sends them on in order."""

from collections.abc import Callable

from streamsr.core.events import Emit
from streamsr.core.metrics import Meter
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import StreamRequest
from streamsr.media.source import SourceInfo
from streamsr.pipeline.capture import Capture
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.keyframe_flicker import FlickerFilter
from streamsr.pipeline.latency_budget import LatencyBudget
from streamsr.pipeline.model_choice import ModelChoice
from streamsr.pipeline.model_session import InFlightFrame, LoadedModel, ModelSession
from streamsr.pipeline.self_check import SelfCheck

__all__ = ["Upscaling"]


class Upscaling:
    """One stream's frames between capture and delivery: ``run()`` it in a thread.

    ``chosen`` is called once frames can be upscaled. A frame of a live source may take
    ``budget_s``, beside what a lookahead waits for; ``workers`` are in flight at once at most.
    """

    def __init__(
        self,
        name: str,
        models: ModelChoice,
        capture: Capture,
        check: SelfCheck,
        *,
        meter: Meter,
        emit: Emit,
        chosen: Callable[[], None],
        budget_s: float,
        workers: int,
    ) -> None:
        self.in_flight: Channel[InFlightFrame] = Channel(workers, Overflow.WAIT)
        self._name = name
        self._models = models
        self._capture = capture
        self._check = check
        self._flicker = FlickerFilter()
        self._meter = meter
        self._emit = emit
        self._chosen = chosen
        self._budget_s = budget_s
        self._budgets: dict[LoadedModel, LatencyBudget] = {}  # of the models that have run
        self._suited: tuple[LoadedModel, TargetSize | None] | None = None  # the session's

    def run(self) -> None:
        """Upscales until nothing more comes, or nobody takes it. Raises ModelError and ConfigError
        where there is no model for the source."""
        session: ModelSession | None = None
        try:
            while (info := self._capture.opened()) is not None:  # else it says itself why not
                session = self._session(info, session)
                frame = self._capture.next(session.budget)
                if frame is None:
                    session.flush()
                    break
                self._meter.begin()
                session.push(self._flicker.steadied(frame))
                self._check.see(self._models.models, session.stream, frame)
        except Closed:
            pass  # the encoder has failed and says so itself, or there is no time left
        finally:
            self._meter.count("lost", session.pending if session else 0)
            self._capture.ready.set()
            self.in_flight.close()
            self._check.close()

    def _session(self, info: SourceInfo, last: ModelSession | None) -> ModelSession:
        """The session of the model that suits now, the last one ended where it is another's."""
        suited = self._models.suit(info)
        if last is not None:
            if suited == self._suited:
                return last
            last.flush()
        else:
            self._capture.ready.set()
            self._chosen()
        self._suited = suited
        model, target = suited
        if model not in self._budgets:  # what it took is remembered for its next session
            wait_s = model.engine.model.facts.lookahead / float(info.rate)
            self._budgets[model] = LatencyBudget(self._budget_s + wait_s)
        request = StreamRequest(self._name, self._meter, self._emit, target=target)
        stream = model.engine.stream(request)
        return ModelSession(model, stream, self._budgets[model], self.in_flight)
