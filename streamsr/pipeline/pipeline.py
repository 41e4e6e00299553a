"""One stream's data path, in three threads, each of which ends when the one before it has.

The source's thread decodes frames into a bounded queue. The engine's thread takes from it those
still in time and begins to upscale them; the engine itself batches and computes in threads of its
own. The encoder's thread waits for the upscaled frames in their order, encodes them and hands
packets to the sinks. The event loop starts, watches and ends all three; self-checks have a fourth.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from streamsr.core.deadline import Deadline
from streamsr.core.events import Code, Emit, Event
from streamsr.core.frame import Frame
from streamsr.core.metrics import Meter
from streamsr.core.packet import Track
from streamsr.core.settings import StreamSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.core.waiting import in_thread
from streamsr.engine.threads import alone
from streamsr.media.source import MediaSource, SourceInfo
from streamsr.media.tracks.piece_queue import PieceQueue
from streamsr.pipeline.capture import Capture
from streamsr.pipeline.channel import Closed
from streamsr.pipeline.delivery import Delivery, FrameSink, PacketSink
from streamsr.pipeline.model_choice import Choose, ModelChoice
from streamsr.pipeline.model_session import InFlightFrame
from streamsr.pipeline.self_check import SelfCheck
from streamsr.pipeline.upscaling import Upscaling

__all__ = ["Pipeline"]

OBSERVE_S = 0.5  # between two observations of whether the device keeps pace


class Pipeline:
    """One stream from its source to its sinks. ``await run()`` it once; ``stop()`` ends it."""

    def __init__(
        self,
        settings: StreamSettings,
        source: MediaSource,
        choose: Choose,
        *,
        workers: int,
        device: str,
        emit: Emit,
        frame_sinks: Sequence[FrameSink] = (),
        packet_sinks: Sequence[PacketSink] = (),
        paced: bool = False,
        aborted: threading.Event | None = None,
        self_check_s: float = 0.0,
    ) -> None:
        """``choose`` is called in the engine's thread, once the source is known; ``workers`` frames
        are in flight at once at most, on ``device``. ``aborted`` is set once sinks are to wait no
        longer. ``self_check_s``: between two self-checks; 0: none, whatever they say."""
        self.name, self._emit = settings.name, emit
        self.meter = Meter()
        self._source = source
        self._mean_fps = self.meter.mean_fps if source.live or paced else self.meter.throughput
        self.models = ModelChoice(settings.model.name, choose)
        self._delivery = Delivery(
            settings.encoder,
            self.meter,
            record=settings.record,
            frame_sinks=frame_sinks,
            packet_sinks=packet_sinks,
            tell=self._tell,
            waiting=None if source.live else PieceQueue(),
        )
        self._seconds = settings.limits.seconds
        self._capture = Capture(
            source,
            self.meter,
            settings.limits,
            audio=self._delivery.audio,
            coming=self._frame_coming,
            tell=self._tell,
            paced=paced,
        )
        self._device, self._aborted = device, aborted or threading.Event()
        self.self_check = SelfCheck(self.name, self_check_s, emit)
        self._upscaling = Upscaling(
            self.name,
            self.models,
            self._capture,
            self.self_check,
            meter=self.meter,
            emit=emit,
            chosen=self._begin_time,
            budget_s=settings.model.budget_ms / 1e3,
            workers=workers,
        )
        self._in_flight = self._upscaling.in_flight
        self._stopping = asyncio.Event()  # stop() was called, or the source has ended
        self._deadline = Deadline.after()  # of stop(); not looked at before
        self._loop: asyncio.AbstractEventLoop | None = None  # of run()
        self._timer: asyncio.TimerHandle | None = None  # of the limit in seconds
        self._progress_s = 0.0  # monotonic: a frame was finished, or came where none was
        self._state = StreamState.STARTING  # set in the encoder's thread, ENDED by run()

    async def run(self) -> StreamStatus:
        """Runs to the end of the source, a limit or ``stop()``; returns its status then.

        Raises the first stage's error, everything closed.
        """
        self._loop = asyncio.get_running_loop()
        self._time_limit()
        keeping_pace = asyncio.create_task(self._keep_pace(), name=f"{self.name}-fallback")
        try:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self._capture_frames(), name=f"{self.name}-source")
                stages.create_task(self._stage("engine", self._upscaling.run))
                stages.create_task(self._stage("encoder", self._deliver_frames))
                if self.self_check.on:
                    stages.create_task(self._stage("self-check", self.self_check.run))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others followed from it
        finally:
            keeping_pace.cancel()
            if self._timer is not None:
                self._timer.cancel()
            self._state = StreamState.ENDED
        return replace(self.status(), fps=self._mean_fps())

    def stop(self, deadline: Deadline | None = None) -> None:
        """Ends the stream: what was read is delivered until ``deadline``, the rest is dropped.

        Call it in the loop. Without a deadline it gets the usual one from now.
        """
        self._deadline = deadline or Deadline.after()
        self._capture.stop.set()
        self._stopping.set()
        left_s = self._deadline.left_s() if self.meter["in"] else 0.0  # there is nothing to deliver
        asyncio.get_running_loop().call_later(left_s, self._abort)

    def request_keyframe(self, tracks: frozenset[Track]) -> None:
        """Makes the next frame of these tracks a keyframe. Any thread may call it."""
        self._delivery.request_keyframe(tracks)

    @property
    def info(self) -> SourceInfo | None:
        """What the source turned out to be; None until it is open."""
        return self._capture.info

    def newest(self) -> Frame | None:
        """Returns the newest upscaled frame, in ``info``'s aspect, if any; from any thread."""
        return self._delivery.newest

    def status(self) -> StreamStatus:
        """Returns how the stream stands. Call it in the loop."""
        (p50_ms, p99_ms), info, model = self.meter.latency_ms(), self.info, self.models.current
        comparison = self.self_check.comparison(self.models.models)
        no_first_frame = self._state is StreamState.STARTING and self._source.down
        status = StreamStatus(
            name=self.name,
            state=StreamState.DOWN if no_first_frame else self._state,
            model=model.name if model else "",
            precision=model.engine.model.precision if model else "",
            wanted=self.models.wanted,
            why=self.models.why,
            device=self._device,
            input=self.meter.input,
            output=self.meter.output,
            fps=self.meter.fps(),
            takes_ms=self.meter.takes_ms(),
            latency_p50_ms=p50_ms,
            latency_p99_ms=p99_ms,
            stalled_s=self._stalled_s(p99_ms),
            rate=float(info.rate) if info else 0.0,
            audio=bool(info and info.audio_codec),
            aspect=float(info.width / info.height * info.sample_aspect) if info else 0.0,
            self_check_gain_db=comparison.newest_db,
            self_check_loses=comparison.loses,
            self_checks=dict(self.self_check.counts),
            not_kept=self._delivery.not_kept,
        )
        full = self._capture.frames.dropped + self._in_flight.dropped
        return status.plus(self.meter.counts(full))

    async def _capture_frames(self) -> None:
        """Runs the source's thread; one that does not end in time is left behind."""
        reading = in_thread(f"source-{self.name}", self._capture.read)
        reading.add_done_callback(lambda _: self._stopping.set())
        try:
            await self._stopping.wait()  # it is to notice, unless it waits for its next frame
            most_s = self._deadline.share(0.1 if self._source.live else 0.5).left_s()
            await asyncio.wait({reading}, timeout=most_s)
        finally:
            self._capture.close()
        if reading.done():
            reading.result()

    async def _stage(self, kind: str, function: Callable[[], None]) -> None:
        """Runs a stage's thread to its end; cancelled, it still ends, without what is queued."""
        running = in_thread(f"{kind}-{self.name}", alone(function))
        try:
            await asyncio.shield(running)
        except BaseException:
            self.stop()
            self._abort()
            self.self_check.close()
            await asyncio.wait({running})
            raise

    def _abort(self) -> None:
        """Drops what is queued; the stages end by themselves."""
        self._aborted.set()
        self._capture.frames.abort()
        self._in_flight.abort()
        self.models.close()

    def _deliver_frames(self) -> None:
        """The encoder's thread: upscaled frames out, and the last one again while none come."""
        try:
            while True:
                hold = self._source.live and self.newest() is not None
                after_s = self._delivery.hold_after_s(self._known) if hold else None
                try:
                    in_flight = self._in_flight.receive(after_s)
                except TimeoutError:
                    self._state = StreamState.DOWN
                    if not self._capture.stop.is_set():  # else the source is being closed
                        self._delivery.hold(self._known)
                except Closed:
                    break
                else:
                    self._deliver(in_flight)
            self._delivery.finish(self._capture.until_s)
        finally:
            self._delivery.close()

    def _deliver(self, in_flight: InFlightFrame) -> None:
        try:
            self._delivery.deliver(in_flight.frame, in_flight.upscaled.result(), self._known)
        except BaseException:
            self.meter.count("lost")
            raise
        self._state = StreamState.LIVE
        self._progress_s = monotonic()
        in_flight.budget.served(self._progress_s - in_flight.begun_s)

    async def _keep_pace(self) -> None:
        """Falls back when a live source is faster than the device, or by its self-checks a model
        loses to plain scaling; restores the model."""
        while self._source.live:
            await asyncio.sleep(OBSERVE_S)
            said = self.models.observe(
                self._capture.decided,
                self._capture.dropped,
                len(self._capture.frames),
                monotonic(),
                self.self_check.loses,
            )
            if said is not None:
                self._tell(*said)

    def _time_limit(self) -> None:
        """Gives a live source its seconds from now on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._seconds is not None and self._source.live:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._time_over)

    def _time_over(self) -> None:
        if self.info is None or self._capture.ready.is_set():  # else they begin once models are
            self.stop()

    def _begin_time(self) -> None:
        """Begins a live source's seconds again. Any thread may call it."""
        assert self._loop is not None  # it runs
        self._loop.call_soon_threadsafe(self._time_limit)

    def _frame_coming(self) -> None:
        """A frame is about to be queued; called in the source's thread."""
        if self.meter["in"] == 0:
            self._begin_time()
        if not self._waiting:
            self._progress_s = monotonic()

    def _stalled_s(self, usual_ms: float | None) -> float:
        """Since a frame was finished, while others wait: far longer than any has taken."""
        stalled_s = monotonic() - self._progress_s if self._waiting else 0.0
        return stalled_s if stalled_s > 4 * (usual_ms or 0.0) / 1e3 else 0.0

    @property
    def _waiting(self) -> int:
        """How many frames are on their way."""
        return len(self._capture.frames) + len(self._in_flight)

    @property
    def _known(self) -> SourceInfo:
        assert self.info is not None  # a source describes itself before its first frame
        return self.info

    def _tell(self, code: Code, message: str) -> None:
        self._emit(Event(code, self.name, message))
