"""The data path of one stream: source, window, batch, engine, encoder, packets.

Each stage that blocks has a thread of its own, and bounded channels between them. Nothing here
knows what a network, a container or a browser is.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from streamsr.core.events import Code, Emit, Event
from streamsr.core.metrics import Meter, Summary
from streamsr.core.settings import EncoderSettings
from streamsr.core.status import StreamStatus
from streamsr.core.threads import in_thread
from streamsr.media.source import Source, SourceInfo
from streamsr.pipeline.capture import Capture, Limits
from streamsr.pipeline.channel import Channel, Closed, Overflow
from streamsr.pipeline.delivery import Delivery, FrameSink, PacketSink
from streamsr.pipeline.latency_budget import LatencyBudget
from streamsr.pipeline.model_fallback import ModelFallback
from streamsr.pipeline.model_session import Pair, Step, Turn
from streamsr.pipeline.self_check import SelfCheck

__all__ = ["Pipeline"]

STOP_S = 1.5  # for a source to notice that it is to stop; then it is left behind
DRAIN_S = 2.0  # to deliver what was read, from being asked to stop
HOLD_AFTER_S = 0.5  # without a picture, or three pictures' time: the last one is shown again
HOLD_RATE = 30  # pictures a second at most
BUDGET_S = 0.5  # of latency, beside what the model's lookahead takes
CAUSES = ("late", "full", "lost")  # of drops: too old, no room, under way when something failed
OBSERVE_S = 0.5  # between two looks at whether the device keeps pace


class Pipeline:
    """One stream from its source to its sinks. ``await run()`` it once; ``stop()`` ends it."""

    def __init__(
        self,
        name: str,
        source: Source,
        steps: Sequence[Step],
        *,
        emit: Emit,
        frame_sinks: Sequence[FrameSink] = (),
        packet_sinks: Sequence[PacketSink] = (),
        encoder: EncoderSettings | None = None,
        limits: Limits | None = None,
        budget_s: float = BUDGET_S,
        paced: bool = False,
        self_check_s: float = 0.0,
    ) -> None:
        """``steps``: the model that is wanted, then those to fall back on, the cheapest last.

        ``self_check_s``: between two self-checks; 0 for none.
        """
        self.name = name
        self.meter = Meter()
        self._source = source
        self._steps = tuple(steps)
        self._ladder = ModelFallback(len(steps))
        self.step = steps[0]  # what runs from the next frame on; set in the loop
        self._budget_s = budget_s
        self._budgets: dict[Step, LatencyBudget] = {}  # of the steps that have had a turn
        self._emit = emit
        self._delivery = Delivery(
            encoder or EncoderSettings(),
            self.meter,
            frame_sinks=frame_sinks,
            packet_sinks=packet_sinks,
            failed=lambda error: self._tell(Code.OUT_FAILED, str(error)),
        )
        self._limits = limits or Limits()
        self._capture = Capture(
            source,
            self.meter,
            self._limits,
            audio=self._delivery.audio,
            coming=self._expect,
            paced=paced,
        )
        self._pairs: Channel[Pair] = Channel(steps[0].engine.workers, Overflow.WAIT)
        self._check = SelfCheck(name, self_check_s, emit)
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # of run()
        self._timer: asyncio.TimerHandle | None = None  # of the limit in seconds
        self._progress = 0.0  # monotonic: a frame was finished, or came where none was
        self._state = "starting"  # then "live", or "down" while a picture is held; "ended"

    async def run(self) -> Summary:
        """Run to the end of the source, a limit or ``stop()``; give the summary.

        Raises the first stage's error, everything closed.
        """
        self._loop = asyncio.get_running_loop()
        self._time_limit()
        keeping_pace = asyncio.create_task(self._keep_pace(), name=f"{self.name}-ladder")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reading(), name=f"{self.name}-source")
                group.create_task(self._stage("engine", self._upscale))
                group.create_task(self._stage("encoder", self._encode))
                if self._check.on:
                    group.create_task(self._stage("self-check", self._check.run))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            keeping_pace.cancel()
            if self._timer is not None:
                self._timer.cancel()
            self._state = "ended"
        return self.summary()

    def stop(self) -> None:
        """Ask the pipeline to end: what was read is delivered, if it takes no longer than
        DRAIN_S. Call it in the loop."""
        self._capture.stop.set()
        self._stopping.set()
        if self._loop is not None:
            self._loop.call_later(DRAIN_S, self._capture.abort)

    def request_keyframe(self) -> None:
        """Make the next picture of every rendition a keyframe. Any thread may call it."""
        self._delivery.request_keyframe()

    def use(self, steps: Sequence[Step]) -> None:
        """Go on with other models of the same scale. Call it in the loop."""
        self._steps, self._ladder = tuple(steps), ModelFallback(len(steps))
        self.step = steps[0]

    def summary(self) -> Summary:
        return Summary.of(self.status(), self.meter.mean_fps())

    def status(self) -> StreamStatus:
        self._settle_counts()
        (p50_ms, p99_ms), info, step = self.meter.latency_ms(), self.info, self.step
        contest = self._check.contest(step)
        return StreamStatus(
            name=self.name,
            state="down" if self._state == "starting" and self._source.down else self._state,
            model=step.name,
            wanted=self._steps[0].name,
            device=str(step.engine.device),
            input=self.meter.input,
            output=self.meter.output,
            frames_in=self.meter["in"],
            frames_out=self.meter["out"],
            frames_dropped=self.meter["dropped"],
            frames_held=self.meter["held"],
            dropped_by={cause: self.meter[cause] for cause in CAUSES},
            fps=self.meter.fps(),
            latency_p50_ms=p50_ms,
            latency_p99_ms=p99_ms,
            reconnects=self.meter["reconnects"],
            stalled_s=self._stalled_s(p99_ms),
            rate=float(info.rate) if info else 0.0,
            audio=bool(info and info.audio_codec),
            aspect=float(info.width / info.height * info.sample_aspect) if info else 0.0,
            self_check_gain_db=contest.newest_db,
            self_check_loses=contest.loses,
            self_checks=dict(self._check.counts),
        )

    async def _keep_pace(self) -> None:
        """Step down the ladder when a live source is faster than the device, and up again."""
        while self._source.live:
            await asyncio.sleep(OBSERVE_S)
            before, ladder = self.step, self._ladder
            capture = self._capture
            reason = ladder.observe(capture.decided, capture.left_out, len(capture), monotonic())
            if reason is not None:
                self.step = self._steps[ladder.step]
                down = self._steps.index(before) < ladder.step
                code = Code.MODEL_FALLBACK if down else Code.MODEL_RESTORED
                self._tell(code, f"from {before.name} to {self.step.name}: {reason}")

    def _time_limit(self) -> None:
        """Let a live source have its seconds from now on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is not None and self._limits.seconds is not None and self._source.live:
            self._timer = self._loop.call_later(self._limits.seconds, self.stop)

    def _stalled_s(self, usual_ms: float | None) -> float:
        """Since a frame was finished, while others wait: far longer than any has taken."""
        stalled_s = monotonic() - self._progress if self._waiting else 0.0
        return stalled_s if stalled_s > 4 * (usual_ms or 0.0) / 1e3 else 0.0

    @property
    def _waiting(self) -> int:
        """How many frames are on their way."""
        return len(self._capture) + len(self._pairs)

    async def _reading(self) -> None:
        """Run the source's thread; one that does not stop in time is left behind."""
        reading = in_thread(f"source-{self.name}", self._capture.read)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            both: set[asyncio.Future[Any]] = {reading, stopping}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({reading}, timeout=STOP_S)
        finally:
            stopping.cancel()
            self._capture.stop.set()
            self._capture.close()
        if reading.done():
            reading.result()

    async def _stage(self, kind: str, function: Callable[[], None]) -> None:
        """Run a stage's thread to its end; cancelled, it still ends, without what is queued."""
        running = in_thread(f"{kind}-{self.name}", function)
        try:
            await asyncio.shield(running)
        except BaseException:
            self.stop()
            self._capture.abort()
            self._pairs.abort()
            self._check.close()
            await asyncio.wait({running})
            raise

    def _expect(self) -> None:
        """A frame is about to come: the source's thread says so."""
        if self.meter["in"] == 0 and self._loop is not None:
            self._loop.call_soon_threadsafe(self._time_limit)
        if not self._waiting:
            self._progress = monotonic()

    def _late(self) -> None:
        self._tell(Code.OVERLOAD, "the device is slower than the source: frames dropped")

    def _upscale(self) -> None:
        """The engine's thread: frames into windows, windows into the pool, in order."""
        turn = self._begin(self.step)
        try:
            while True:
                if turn.step is not self.step:
                    turn.flush()
                    turn = self._begin(self.step)
                if (frame := self._capture.next(turn.budget, self._late)) is None:
                    break
                turn.push(frame)
                self._check.see(turn.step, turn.stream, frame)
            turn.flush()
        except Closed:
            pass  # the encoder has failed and says so itself
        finally:
            self.meter.count("lost", len(turn.waiting))
            self._pairs.close()
            self._check.close()

    def _begin(self, step: Step) -> Turn:
        """Let a model have its turn. What its lookahead waits for is no part of the budget."""
        if step not in self._budgets:  # what a model took is remembered for its next turn
            rate = float(self.info.rate) if self.info else 25.0
            wait_s = step.engine.model.facts.lookahead / rate
            self._budgets[step] = LatencyBudget(self._budget_s + wait_s)
        stream = step.engine.stream(self.name, self.meter, self._emit)
        return Turn(step, stream, self._budgets[step], self._pairs)

    def _encode(self) -> None:
        """The encoder's thread: upscaled frames out, and the last one again when none come."""
        try:
            while True:
                try:
                    pair = self._pairs.receive(self._patience_s())
                except TimeoutError:
                    self._state = "down"
                    self._delivery.hold(self._known)
                except Closed:
                    break
                else:
                    self._deliver(pair)
            self._delivery.finish()
        finally:
            self._delivery.close()

    def _deliver(self, pair: Pair) -> None:
        try:
            admitted = pair.admitted
            self._delivery.deliver(admitted.frame, pair.upscaled.result(), self._known)
        except BaseException:
            self.meter.count("lost")
            raise
        self._state = "live"
        self._progress = monotonic()
        admitted.budget.served(self._progress - admitted.at_s)

    def _patience_s(self) -> float | None:
        """How long to wait for a picture before the last one is shown again."""
        if not self._source.live or self._state == "starting":
            return None
        if self._state == "down":
            return 1 / min(float(self._known.rate), HOLD_RATE)
        usual_s = max(float(1 / self._known.rate), self._delivery.interval_s)
        return max(HOLD_AFTER_S, 3 * usual_s)

    @property
    def info(self) -> SourceInfo | None:
        """What the source turned out to be; None until it is open."""
        return self._capture.info

    @property
    def _known(self) -> SourceInfo:
        assert self.info is not None  # a source describes itself before its first frame
        return self.info

    def _settle_counts(self) -> None:
        """Gather the drops that the channels counted."""
        full = self._capture.overflowed + self._pairs.dropped
        self.meter.count("full", full - self.meter["full"])
        dropped = sum(self.meter[cause] for cause in CAUSES)
        self.meter.count("dropped", dropped - self.meter["dropped"])

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self.name, message))


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that the others followed from: the first that is not a cancellation."""
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            return _first(failure)
        return failure
    raise AssertionError("an exception group is never empty")
