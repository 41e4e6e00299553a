"""One stream of a node with what belongs to it: its outputs, its recorder, its HLS."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streamsr.control.node_api import CameraState
from streamsr.core.deadline import OUTPUTS_SHARE, STREAM_SHARE, Deadline
from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.events.event import iso
from streamsr.core.events.journal import Condition, Journal, worst
from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputState, OutputStatus, StreamState, StreamStatus
from streamsr.media.addresses import PUBLISHED
from streamsr.node.remote_stream import RemoteStream
from streamsr.node.worker_process import DeviceWorker
from streamsr.outputs.output import Output
from streamsr.outputs.target import TargetSettings
from streamsr.serve.served import Served

if TYPE_CHECKING:  # a node without streams that are published does not load what that needs
    from streamsr.serve.whip.publish_point import PublishPoint

__all__ = ["Camera"]


class Camera:
    """A stream and its outputs. ``run()`` it once; ``stop()`` ends it."""

    def __init__(
        self,
        settings: StreamSettings,
        worker: DeviceWorker,
        journal: Journal,
        *,
        sessions: int = 0,
        lease: Path | None = None,
    ) -> None:
        """``sessions``: how many the stream had that this one takes the place of; ``lease``: as
        Target has it."""
        self.worker = worker
        begun = partial(journal.begin_session, settings.name)
        self.stream = RemoteStream(settings, worker, journal, sessions=sessions, begun=begun)
        self._journal, self._lease = journal, lease
        servers = zip(settings.publish, settings.publish_names, strict=True)
        self._servers = [self._output(server, name) for server, name in servers]
        files = settings.hls is not None and settings.hls.folder is not None
        self._hls = self._output(settings.hls, "hls") if settings.hls and files else None
        self._publish_point = _publish_point(settings)
        self._recorder: Output | None = None  # while it records
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def settings(self) -> StreamSettings:
        return self.stream.settings

    async def run(self) -> None:
        """Runs the stream to its end, its outputs beside it."""
        for output in self._outputs():
            self._begin(output)
        if self.settings.record is not None and self.settings.record.enabled:
            await self.record(True)
        try:
            async with self._publish_point or nullcontext() as point:
                self.stream.published_at = point.address if point is not None else None
                await self.stream.run()
            await asyncio.gather(*(output.arrived() for output in self._servers))
        finally:
            await self._stop_outputs(Deadline.after())
            await asyncio.gather(*self._tasks)

    async def stop(self, deadline: Deadline) -> None:
        """Delivers what was read and ends the outputs by the deadline; ``run`` returns."""
        await self.stream.stop(deadline.share(STREAM_SHARE))
        await self._stop_outputs(deadline.share(OUTPUTS_SHARE))

    @property
    def failure(self) -> StreamsrError | None:
        """Why it ended, or what did not arrive where all was to."""
        failures = [self.stream.failure, *(output.failure for output in self._servers)]
        return next((failure for failure in failures if failure is not None), None)

    async def record(self, on: bool) -> None:
        """Begins or ends recording. Raises UserError where no recorder is configured."""
        settings = self.settings.record
        if settings is None:
            raise UserError(f"record: {self.stream.name} has no group 'record' in its settings")
        if on and not self._recording:
            self._recorder = self._output(settings, "record")
            self._begin(self._recorder)
        elif not on and self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            await recorder.stop(Deadline.after())
            self._journal.forget(self.stream.name, recorder.name)

    @property
    def _recording(self) -> bool:
        return self._recorder is not None and self._recorder.state is not OutputState.OFF

    def served(self) -> Served:
        """What the web server may show of it."""
        record = self.settings.record
        return Served(
            broadcaster=self.stream.broadcaster,
            status=self.status,
            snapshot=self.stream.snapshot,
            hls=self.settings.hls,
            publish_point=self._publish_point,
            recordings=record.folder.absolute() if record is not None else None,
            outputs=self.outputs,
            recording=lambda: self._recording,
        )

    def state(self) -> CameraState:
        """What MQTT publishes of it."""
        return CameraState(
            status=self.status(),
            enabled=self.stream.enabled,
            recording=self._recording if self.settings.record is not None else None,
            outputs={output.name: output for output in self.outputs()},
            folder=self.settings.record.folder if self.settings.record is not None else None,
            size=self.settings.output.size or "",
        )

    def status(self) -> StreamStatus:
        """How the stream stands, and why."""
        stream, status = self.stream, self.stream.status
        found: Condition | None = None
        if status.state is not StreamState.DISABLED:
            severe = status.state is StreamState.LIVE
            worker, own = ("", self.worker.device), (stream.name, "")
            found = worst(*(self._journal.standing(*of, severe=severe) for of in (worker, own)))
        code, reason, since, doing = _why(found, stream.since)
        return replace(
            status,
            code=code,
            reason=reason,
            since=since,
            doing=doing,
            message=status.message or (found.text if found is not None else ""),
            had_frame=status.frames_out > 0,
        )

    def outputs(self) -> Sequence[OutputStatus]:
        """How each output stands, and why."""
        return [self._status_of(output) for output in self._outputs()]

    def _status_of(self, output: Output) -> OutputStatus:
        found = worst(self._journal.standing(self.stream.name, output.name))
        place = output.name, output.target, output.state
        return OutputStatus(*place, output.dropped, output.restarts, *_why(found, output.since))

    def _outputs(self) -> list[Output]:
        more = [self._hls, self._recorder]
        return [*self._servers, *(output for output in more if output is not None)]

    async def _stop_outputs(self, deadline: Deadline) -> None:
        await asyncio.gather(*(output.stop(deadline) for output in self._outputs()))

    def _output(self, settings: TargetSettings, name: str) -> Output:
        stream = self.stream
        where = stream.broadcaster, self._journal
        return Output(stream.name, settings, *where, name=name, lease=self._lease)

    def _begin(self, output: Output) -> None:
        name = f"{output.name} of {self.stream.name}"
        task = asyncio.create_task(self._keep(output), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, output: Output) -> None:
        """Runs an output; a stream that was to arrive there whole and cannot ends with it."""
        await output.run()
        if output.failure is not None:
            await self.stream.stop(Deadline.after())


def _why(found: Condition | None, since: datetime) -> tuple[str, str, str, str]:
    """Code, reason, since and doing of a status: of what was found, or of a state since then."""
    if found is None:
        return "", "", iso(since), ""
    return found.code.value, found.reason, iso(found.since), found.doing


def _publish_point(settings: StreamSettings) -> "PublishPoint | None":
    if settings.input.url != PUBLISHED:
        return None
    from streamsr.serve.whip.publish_point import PublishPoint

    return PublishPoint()
