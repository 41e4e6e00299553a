"""Where the upscaled frames of a half-done file go: encoded, or as images."""

from fractions import Fraction

from streamsr.core.frame import Frame
from streamsr.core.packet import Track
from streamsr.core.settings import EncoderSettings, OutputSettings
from streamsr.files.checkpoint import Checkpoint, End, Opening
from streamsr.files.part import BeginAgainError
from streamsr.files.partial import Partial
from streamsr.files.plan import FileJob
from streamsr.media.encoder import VideoEncoder
from streamsr.media.source import SourceInfo
from streamsr.pipeline.model_session import LoadedModel
from streamsr.pipeline.sinks.folder import FolderSink

__all__ = ["ImagesSink", "VideoSink"]


class _Sink:
    """What both have in common: how a file began is how it goes on."""

    def __init__(self, partial: Partial) -> None:
        self._partial = partial

    def open(self, frame: Frame, info: SourceInfo, model: LoadedModel) -> None:
        """Raises BeginAgainError where another model made what is there."""
        precision = model.engine.model.precision
        opening = self._partial.opening
        if opening is None:
            aspect = info.aspect_of(frame.width, frame.height)
            kept = self._kept(frame)
            self._partial.begin(_opening(kept, info, aspect, model.name, precision))
        elif (opening.model, opening.precision) != (model.name, precision):
            raise BeginAgainError(
                f"{opening.model} in {opening.precision} made the beginning, "
                f"{model.name} in {precision} runs now"
            )

    def _kept(self, frame: Frame) -> Frame:
        """What of a frame comes out."""
        return frame


class VideoSink(_Sink):
    """Encodes each segment by an encoder of its own; ``settings`` are filled."""

    def __init__(self, partial: Partial, settings: EncoderSettings) -> None:
        super().__init__(partial)
        self._settings = settings
        self._encoder: VideoEncoder | None = None

    def write(self, frame: Frame, info: SourceInfo) -> None:
        if self._encoder is None:
            opening = self._partial.opening
            assert opening is not None  # open() comes first
            facts = opening.frame, opening.rate, opening.aspect
            self._encoder = VideoEncoder(self._settings, *facts)
        encoder = self._encoder
        for packet in encoder.packets(Track.OUTPUT, encoder.encode(frame), frame):
            self._partial.append(packet)

    def _kept(self, frame: Frame) -> Frame:
        return frame if frame.is_rgb else frame.cropped(2)

    def commit(self, checkpoint: Checkpoint, end: End | None = None) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            for packet in encoder.packets(Track.OUTPUT, encoder.flush(), None):
                self._partial.append(packet)
        self._partial.commit(checkpoint, end)


class ImagesSink(_Sink):
    """Writes images, like those of the folder that is the source, each whole or not at all.

    In place they go where a user sees them: what is there of that kind was written by a run before,
    or is to be replaced. Raises OutputError where it is neither.
    """

    def __init__(self, partial: Partial, job: FileJob, output: OutputSettings) -> None:
        super().__init__(partial)
        folder = partial.folder.parent if job.in_place else partial.images
        ours = partial.opening is not None or bool(partial.restarted)
        self._folder = FolderSink(
            folder,
            job.source if job.source.is_dir() else None,
            output.model_copy(update={"overwrite": output.overwrite or ours}),
            goes_on=not job.in_place or partial.frames > 0,
            begin=partial.frames,
        )

    def write(self, frame: Frame, info: SourceInfo) -> None:
        self._folder.write(frame, info)

    def commit(self, checkpoint: Checkpoint, end: End | None = None) -> None:
        self._partial.commit(checkpoint, end)


def _opening(
    frame: Frame, info: SourceInfo, aspect: Fraction, model: str, precision: str
) -> Opening:
    return Opening(
        width=frame.width,
        height=frame.height,
        is_rgb=frame.is_rgb,
        depth=frame.depth,
        colour=frame.colour,
        hdr=frame.hdr,
        time_base=frame.time_base,
        rate=info.rate,
        aspect=aspect,
        input=info.size,
        model=model,
        precision=precision,
    )
