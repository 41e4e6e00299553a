"""A pipeline that is open in a program of one's own: run, watched and stopped."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Protocol

from streamsr.api.shared import CLOSED_ENGINE, SharedEngine
from streamsr.api.told import ToldEvents
from streamsr.core.deadline import Deadline
from streamsr.core.errors import InputError, OutputError
from streamsr.core.events import Event
from streamsr.core.events.journal import Journal
from streamsr.core.status import OutputStatus, StreamState, StreamStatus
from streamsr.node.node import Node
from streamsr.pipeline.pipeline import Pipeline
from streamsr.pipeline.sinks.plugin_sinks import OpenedSink

__all__ = ["NodeRun", "OpenedPipeline", "PipelineRun", "Run", "SinkClosing"]

logger = logging.getLogger("streamsr")


class Run(Protocol):
    """What an open pipeline is inside: the data path alone, or a node with this one camera."""

    url: str | None

    async def run(self) -> StreamStatus:
        """Runs to the end; returns the summary."""

    def stop(self) -> None:
        """Has it deliver what was read; ``run`` returns soon."""

    def status(self) -> StreamStatus:
        """Returns how the stream stands."""

    def outputs(self) -> Sequence[OutputStatus]:
        """Returns how its servers, HLS and recordings stand."""


class PipelineRun:
    """The data path alone, into a file, a folder or sinks."""

    def __init__(self, pipeline: Pipeline, journal: Journal) -> None:
        self.url: str | None = None
        self._pipeline, self._journal = pipeline, journal

    async def run(self) -> StreamStatus:
        ticking = asyncio.create_task(self._journal.run(), name="journal")
        try:
            return await self._pipeline.run()
        finally:
            ticking.cancel()
            await asyncio.wait({ticking})

    def stop(self) -> None:
        self._pipeline.stop()

    def status(self) -> StreamStatus:
        return self._pipeline.status()

    def outputs(self) -> Sequence[OutputStatus]:
        return ()


class NodeRun:
    """A node of one camera, whose worker is this process."""

    def __init__(self, node: Node, name: str) -> None:
        self.url: str | None = None
        self._node, self._name = node, name
        self._last: StreamStatus | None = None

    async def run(self) -> StreamStatus:
        running = asyncio.create_task(self._node.run(self._listening), name="node")
        try:
            (self._last,) = await asyncio.shield(running)
            return self._last
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait({running})
            raise

    def stop(self) -> None:
        self._node.stop(Deadline.after())

    def status(self) -> StreamStatus:
        camera = self._node.cameras().get(self._name)
        starting = StreamStatus(self._name, StreamState.STARTING, "", "", "", "")
        return self._last or (camera.status if camera is not None else starting)

    def outputs(self) -> Sequence[OutputStatus]:
        camera = self._node.cameras().get(self._name)
        return list(camera.outputs.values()) if camera is not None else ()

    def _listening(self, url: str) -> None:
        self.url = url


class SinkClosing:
    """Closes a program's own sinks, each once, in a thread."""

    def __init__(self, sinks: Sequence[OpenedSink]) -> None:
        self._open = list(sinks)
        self._closing = asyncio.Lock()  # both who has run it and who leaves the context wait

    async def close(self) -> None:
        """Closes those that are open. Raises the first one's OutputError, all closed."""
        faults: list[OutputError] = []
        async with self._closing:
            while self._open:
                try:
                    await asyncio.to_thread(_close, self._open.pop(0))
                except OutputError as fault:
                    faults.append(fault)
        if faults:
            raise faults[0]

    async def drop(self) -> None:
        """Closes those that are open; what goes wrong is logged, another failure may be told."""
        try:
            await self.close()
        except OutputError as fault:
            logger.warning("%s", fault)


def _close(sink: OpenedSink) -> None:
    with sink.guarded():
        sink.close()


class OpenedPipeline:
    """A pipeline in this process: ``await run()`` it once; ``stop()`` ends it."""

    def __init__(
        self, run: Run, told: ToldEvents, sinks: SinkClosing, engine: SharedEngine
    ) -> None:
        self._run, self._told, self._sinks = run, told, sinks
        self._engine = engine  # which somebody may close meanwhile
        self._loop = asyncio.get_running_loop()
        self._is_cut = False  # by that
        self._running: asyncio.Task[StreamStatus] | None = None

    def __repr__(self) -> str:
        return f"<streamsr.OpenedPipeline {self.status().name!r}, {self.status().state}>"

    @property
    def url(self) -> str | None:
        """The address of the page, once ``run`` serves it; None without the group ``serve``."""
        return self._run.url

    async def run(self) -> StreamStatus:
        """Runs to the end of the source, a limit or ``stop()``; returns the stream's summary.

        Cancelled, it stops first. Raises what ended the stream, OutputError of a sink, and
        InputError where its engine was closed meanwhile.
        """
        if self._running is not None:
            raise RuntimeError("run: it was called before, allowed is once")
        self._engine.check()
        self._engine.closing.append(self._cut)
        self._running = asyncio.create_task(self._run.run(), name="pipeline")
        try:
            summary = await asyncio.shield(self._running)
        except asyncio.CancelledError:
            await self._end_run()
            raise
        except Exception as error:
            if self._engine.closed:
                raise InputError(CLOSED_ENGINE) from error
            raise
        finally:
            self._engine.closing.remove(self._cut)
            self._told.end()
        await self._sinks.close()
        if self._is_cut:
            raise InputError(CLOSED_ENGINE)
        return summary

    def stop(self) -> None:
        """Ends the stream: what was read is delivered, within five seconds. Call it in the loop."""
        self._run.stop()

    def status(self) -> StreamStatus:
        """Returns how the stream stands. Call it in the loop."""
        return self._run.status()

    def outputs(self) -> Sequence[OutputStatus]:
        """Returns how its servers, HLS and recordings stand. Call it in the loop."""
        return self._run.outputs()

    def events(self) -> AsyncIterator[Event]:
        """Yields what happens, first what has already, until the pipeline has run.

        Each change is told once: what goes on for long, such as frames that are dropped, when it
        begins and when it is over; what repeats, at most once a minute.
        """
        return self._told.read()

    async def close(self) -> None:
        """Stops what still runs. The context does it."""
        await self._end_run()
        self._told.end()

    def _cut(self) -> None:
        """In whichever thread closes the engine."""
        self._is_cut = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.stop)

    async def _end_run(self) -> None:
        if self._running is not None and not self._running.done():
            self.stop()
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.exception()  # it was asked to end: what it ended with is no news
