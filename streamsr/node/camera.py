"""One stream of a node with everything that hangs on it: its publishers, its recorder, its HLS."""

import asyncio
from collections.abc import Sequence

from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.events import Emit
from streamsr.core.settings import HlsSettings, PublishSettings, RecordSettings, StreamSettings
from streamsr.core.status import OutputStatus
from streamsr.media.snapshot import snapshot
from streamsr.mqtt.node_api import CameraState
from streamsr.node.remote_stream import RemoteStream
from streamsr.node.worker_process import WorkerProcess
from streamsr.outputs.output import Publisher
from streamsr.serve.viewer_session import Served

__all__ = ["NodeCamera"]


class NodeCamera:
    """A stream and its outputs. ``run()`` it once; ``stop()`` ends it."""

    def __init__(
        self, settings: StreamSettings, worker: WorkerProcess, emit: Emit, *, lives: int = 0
    ) -> None:
        self.worker = worker
        self.stream = RemoteStream(settings, worker, emit, lives=lives)
        self._emit = emit
        self._publishers = [self._publisher(output) for output in settings.publish]
        self._hls = self._publisher(settings.hls) if settings.hls is not None else None
        self._recorder: Publisher | None = None  # while it records
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def settings(self) -> StreamSettings:
        return self.stream.settings

    async def run(self) -> None:
        """Run the stream to its end, its outputs beside it."""
        for publisher in self._outputs():
            self._begin(publisher)
        if self.settings.record is not None and self.settings.record.enabled:
            await self.record(True)
        try:
            await self.stream.run()
            await asyncio.gather(*(publisher.arrived() for publisher in self._publishers))
        finally:
            await asyncio.gather(*(publisher.stop() for publisher in self._outputs()))
            await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Deliver what was read; ``run`` ends the outputs, and returns."""
        await self.stream.stop()
        await asyncio.gather(*(publisher.stop() for publisher in self._outputs()))

    @property
    def failure(self) -> StreamsrError | None:
        """Why it ended, or what did not arrive where all was to."""
        failures = [self.stream.failure, *(publisher.failure for publisher in self._publishers)]
        return next((failure for failure in failures if failure is not None), None)

    async def record(self, on: bool) -> None:
        """Begin or end recording. Raises UserError where no recorder is configured."""
        settings = self.settings.record
        if settings is None:
            raise UserError(f"record: {self.stream.name} has no group 'record' in its settings")
        if on and not self._recording:
            self._recorder = self._publisher(settings)
            self._begin(self._recorder)
        elif not on and self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            await recorder.stop()

    @property
    def _recording(self) -> bool:
        return self._recorder is not None and self._recorder.state != "off"

    async def snapshot(self) -> bytes:
        """The newest picture as JPEG. Raises TimeoutError where none comes."""
        return await snapshot(self.stream.broadcaster)

    def served(self) -> Served:
        return Served(
            broadcaster=self.stream.broadcaster,
            status=lambda: self.stream.status,
            snapshot=self.snapshot,
            hls=self._hls.folder if self._hls is not None else None,
            outputs=self.outputs,
        )

    def camera(self) -> CameraState:
        recording = self._recording if self.settings.record is not None else None
        return CameraState(
            status=self.stream.status,
            enabled=self.stream.enabled,
            recording=recording,
            outputs={output.target: output.state for output in self.outputs()},
        )

    def outputs(self) -> Sequence[OutputStatus]:
        return [
            OutputStatus(f"{p.name}-{number}", p.target, p.state, p.dropped, p.restarts)
            for number, p in enumerate(self._outputs(), 1)
        ]

    def _outputs(self) -> list[Publisher]:
        more = [self._hls, self._recorder]
        return [*self._publishers, *(publisher for publisher in more if publisher is not None)]

    def _publisher(self, settings: PublishSettings | HlsSettings | RecordSettings) -> Publisher:
        stream = self.stream
        give_up_s = settings.give_up_s if isinstance(settings, PublishSettings) else None
        return Publisher(
            stream.name, settings, stream.broadcaster, lambda: stream.status, self._emit, give_up_s
        )

    def _begin(self, publisher: Publisher) -> None:
        name = f"{publisher.name} of {self.stream.name}"
        task = asyncio.create_task(self._keep(publisher), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, publisher: Publisher) -> None:
        """Run an output; a stream that was to arrive there and does not need not go on."""
        await publisher.run()
        if publisher.failure is not None:
            await self.stream.stop()
