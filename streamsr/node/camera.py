"""One stream of a node with what belongs to it: its outputs, its recorder, its HLS."""

import asyncio
from collections.abc import Sequence

from streamsr.control.node_api import CameraState
from streamsr.core.deadline import OUTPUTS_SHARE, STREAM_SHARE, Deadline
from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.events import Emit
from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputState, OutputStatus
from streamsr.node.remote_stream import RemoteStream
from streamsr.node.worker_process import WorkerProcess
from streamsr.outputs.output import Output
from streamsr.outputs.target import TargetSettings
from streamsr.serve.served import Served

__all__ = ["Camera"]


class Camera:
    """A stream and its outputs. ``run()`` it once; ``stop()`` ends it."""

    def __init__(
        self, settings: StreamSettings, worker: WorkerProcess, emit: Emit, *, sessions: int = 0
    ) -> None:
        """``sessions``: how many the stream had that this one takes the place of."""
        self.worker = worker
        self.stream = RemoteStream(settings, worker, emit, sessions=sessions)
        self._emit = emit
        self._servers = [self._output(server) for server in settings.publish]
        self._hls = self._output(settings.hls) if settings.hls is not None else None
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
            self._recorder = self._output(settings)
            self._begin(self._recorder)
        elif not on and self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            await recorder.stop(Deadline.after())

    @property
    def _recording(self) -> bool:
        return self._recorder is not None and self._recorder.state is not OutputState.OFF

    def served(self) -> Served:
        """What the web server may show of it."""
        record = self.settings.record
        return Served(
            broadcaster=self.stream.broadcaster,
            status=lambda: self.stream.status,
            snapshot=self.stream.snapshot,
            hls=self._hls.folder if self._hls is not None else None,
            recordings=record.folder.absolute() if record is not None else None,
            outputs=self.outputs,
            recording=lambda: self._recording,
        )

    def state(self) -> CameraState:
        """What MQTT publishes of it."""
        return CameraState(
            status=self.stream.status,
            enabled=self.stream.enabled,
            recording=self._recording if self.settings.record is not None else None,
            outputs={output.target: output.state for output in self.outputs()},
        )

    def outputs(self) -> Sequence[OutputStatus]:
        return [
            OutputStatus(f"{o.name}-{number}", o.target, o.state, o.dropped, o.restarts)
            for number, o in enumerate(self._outputs(), 1)
        ]

    def _outputs(self) -> list[Output]:
        more = [self._hls, self._recorder]
        return [*self._servers, *(output for output in more if output is not None)]

    async def _stop_outputs(self, deadline: Deadline) -> None:
        await asyncio.gather(*(output.stop(deadline) for output in self._outputs()))

    def _output(self, settings: TargetSettings) -> Output:
        stream = self.stream
        return Output(stream.name, settings, stream.broadcaster, self._emit)

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
