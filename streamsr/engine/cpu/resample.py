"""The CPU engine of models that are a filter: a frame's planes are resized as they are."""

from concurrent.futures import Future

from streamsr.core.frame import Frame
from streamsr.engine.base import EngineStream, StreamRequest
from streamsr.engine.cpu.engine import CpuEngine, CpuJob
from streamsr.engine.resample import resize_frame
from streamsr.networks.resample import Resample

__all__ = ["CpuResampleEngine", "ResampleStream"]


class CpuResampleEngine(CpuEngine):
    """A model whose network is ``Resample``; frames are resized in ``pool``."""

    def stream(self, request: StreamRequest) -> EngineStream:
        return ResampleStream(self, request)

    def run(self, job: CpuJob) -> None:
        """Resizes a job's frame, and settles its future."""
        network = self.model.network
        assert isinstance(network, Resample)
        with job.stream.meter.stage("network"):
            upscaled = resize_frame(job.frame, *job.size, network.kernel)
        job.upscaled.set_result(upscaled)


class ResampleStream(EngineStream):
    """One stream through the engine: no frame has to do with another, and none is pending."""

    _engine: CpuResampleEngine

    def push(self, frame: Frame) -> list[Future[Frame]]:
        """Takes a frame; returns its future."""
        self.size_of(frame)
        return self._take(frame)

    def flush(self) -> list[Future[Frame]]:
        """Returns nothing."""
        return []

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        return [self._engine.submit(CpuJob(self, frame, self._engine))]
