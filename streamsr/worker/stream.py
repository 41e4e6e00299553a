"""One stream in a worker, from its start to its summary."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from traceback import format_exc

from streamsr.core.config import FILLED_IN
from streamsr.core.deadline import Deadline
from streamsr.core.errors import StreamsrError, UserError, name_of
from streamsr.core.events import Code, Event
from streamsr.core.packet import Track
from streamsr.core.redact import redact
from streamsr.core.settings import StreamSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.engine.engines import Engines
from streamsr.ipc.messages import (
    ModelInUse,
    Snapshot,
    StartStream,
    StreamEnded,
    StreamEvent,
    StreamFailed,
    StreamReport,
)
from streamsr.media.images import jpeg_of
from streamsr.pipeline.build import choose_by, open_pipeline
from streamsr.pipeline.model_choice import Choose
from streamsr.pipeline.pipeline import Pipeline
from streamsr.pipeline.sinks.plugin_sinks import OpenedSink
from streamsr.worker.link import LinkSink, MainLink

__all__ = ["REPORT_S", "WorkerStream"]

REPORT_S = 0.5

log = logging.getLogger(__name__)


class WorkerStream:
    """A session of a stream: ``run`` it once; the main process hears of all that happens to it."""

    def __init__(
        self, start: StartStream, link: MainLink, sinks: Sequence[OpenedSink] = ()
    ) -> None:
        """``sinks`` take what it makes beside those of its settings."""
        self._key = start.key
        self._settings = StreamSettings.model_validate_json(start.settings, context=FILLED_IN)
        self._link, self._sinks = link, sinks
        self._sink = LinkSink(link, start.key, self._settings.name, start.tracks, self._emit)
        self._pipeline: Pipeline | None = None  # once it is open
        self._opening: asyncio.Task[Pipeline] | None = None
        self._deadline: Deadline | None = None  # once it is to stop
        self._choosing = asyncio.Lock()  # one model after another
        self._choose: Choose | None = None  # in place of what the settings say

    async def run(self, engines: Engines) -> None:
        """Runs it to its end. Whatever goes wrong is told, and ends no other stream."""
        name, choose = self._settings.name, self._choose
        reporting = asyncio.create_task(self._report(), name=f"reports of {name}")
        try:
            with ExitStack() as stack:
                opening = open_pipeline(
                    *(self._settings, self._emit, [self._sink], engines),
                    paced=True,
                    choose=choose,
                    sinks=self._sinks,
                )
                self._opening = asyncio.create_task(
                    asyncio.to_thread(stack.enter_context, opening), name=f"opening of {name}"
                )
                self._pipeline = await self._opening
                if self._choose is not None and self._choose is not choose:
                    self._pipeline.models.use(self._choose)
                if self._deadline is not None:
                    self._pipeline.stop(self._deadline)
                summary = await self._pipeline.run()
                self._link.send(StreamReport(self._key, self._pipeline.status()))
            self._link.send(StreamEnded(self._key, summary))
        except asyncio.CancelledError:
            if self._deadline is None:
                raise
            self._link.send(
                StreamEnded(self._key, replace(self._status(), state=StreamState.ENDED))
            )
        except StreamsrError as error:
            code = 2 if isinstance(error, UserError) else 1
            self._link.send(StreamFailed(self._key, redact(error), code, name_of(error)))
        except Exception as error:  # a fault of ours with one stream must not end the others
            log.error("stream %s: %s", name, redact(format_exc()))
            message = f"{type(error).__name__}: {redact(error)}"
            self._link.send(StreamFailed(self._key, message, None))
        finally:
            reporting.cancel()

    def stop(self, deadline: Deadline) -> None:
        """Delivers what was read, by the deadline; ``run`` ends. An address that is still being
        asked what it is is left to a thread."""
        self._deadline = deadline
        if self._pipeline is not None:
            self._pipeline.stop(deadline)
        elif self._opening is not None:
            self._opening.cancel()

    def request_keyframe(self, tracks: frozenset[Track]) -> None:
        if self._pipeline is not None:
            self._pipeline.request_keyframe(tracks)

    def want(self, tracks: frozenset[Track]) -> None:
        """Sends these tracks from now on."""
        self._sink.tracks = tracks

    async def use(self, model: str, engines: Engines) -> None:
        """Goes on with another model; with the one there is where it cannot be loaded."""
        group = self._settings.model.model_copy(update={"name": model})
        wanted = self._settings.model_copy(update={"model": group})
        async with self._choosing:
            try:
                choose = choose_by(wanted, engines, real_time=True)
                if self._pipeline is not None:
                    await asyncio.to_thread(self._pipeline.models.use, choose)
            except StreamsrError as error:
                self._emit(Event(Code.MODEL_FAILED, self._settings.name, redact(error)))
                return
            self._choose = choose
        self._link.send(ModelInUse(self._key, model))

    def check_models(self) -> None:
        """Makes the next self-check now."""
        if self._pipeline is not None:
            self._pipeline.self_check.ask()

    async def snapshot(self, width: int) -> None:
        """Sends the newest upscaled frame as JPEG, where there is one, ``width`` pixels wide at
        most; 0: as it is."""
        pipeline = self._pipeline
        frame = pipeline.newest() if pipeline is not None else None
        if pipeline is not None and pipeline.info is not None and frame is not None:
            aspect = pipeline.info.aspect_of(frame.width, frame.height)
            jpeg = await asyncio.to_thread(jpeg_of, frame, aspect, width)
            self._link.send(Snapshot(self._key, jpeg, width))

    async def _report(self) -> None:
        while True:
            self._link.send(StreamReport(self._key, self._status()))
            await asyncio.sleep(REPORT_S)

    def _status(self) -> StreamStatus:
        if self._pipeline is not None:
            return self._pipeline.status()
        settings = self._settings
        return StreamStatus(settings.name, StreamState.STARTING, settings.model.name, "", "", "")

    def _emit(self, event: Event) -> None:
        event = replace(event, message=redact(event.message))  # a path may hold what no message can
        self._link.send(StreamEvent(self._key, event))
