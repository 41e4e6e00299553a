"""Frames written without losses: recordings and pairs, as Matroska with H.264 of quantiser 0."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from streamsr.core.errors import OutputError
from streamsr.core.frame import Frame
from streamsr.media.container import reason_of
from streamsr.media.pixels import set_colour, to_av
from streamsr.train.frames import fitted

__all__ = ["LosslessWriter"]

TICK = Fraction(1, 1000)  # of Matroska
OPTIONS = {"qp": "0", "preset": "ultrafast"}
GOP = 50  # frames


class LosslessWriter:
    """One file, begun with its first frame; frames of another size are not taken.

    What was written before a crash or a kill can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.frames = 0
        self._size: tuple[int, int] | None = None
        self._last = -1
        try:
            self._container = av.open(
                str(path), "w", format="matroska", options={"cluster_time_limit": "1000"}
            )
        except (OSError, av.FFmpegError) as error:
            raise OutputError(f"{path}: cannot be written: {reason_of(error)}") from None
        self._stream: av.VideoStream | None = None

    def write(self, frame: Frame, time_s: float) -> bool:
        """Writes a frame of 8 bits; returns whether it was of the first one's size, and later.

        Sides become even. Raises OutputError where the disk is full or fails.
        """
        frame, pts = fitted(frame, 2), round(time_s / TICK)
        self._size = self._size or (frame.width, frame.height)
        if (frame.width, frame.height) != self._size or pts <= self._last:
            return False
        stream = self._stream = self._stream or self._begun(frame)
        image = to_av(frame)
        image.pts, image.time_base = pts, TICK
        self._last = pts
        self._mux(stream, image)
        self.frames += 1
        return True

    def close(self) -> None:
        """Finishes the file. Raises OutputError likewise."""
        try:
            if self._stream is not None:
                self._mux(self._stream, None)
        finally:
            try:
                self._container.close()
            except (OSError, av.FFmpegError) as error:
                raise self._failed(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begun(self, frame: Frame) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=25, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        context = stream.codec_context
        context.time_base, context.gop_size, context.thread_count = TICK, GOP, 1
        context.max_b_frames = 0
        set_colour(context, frame.colour)
        return stream

    def _mux(self, stream: av.VideoStream, image: av.VideoFrame | None) -> None:
        try:
            for packet in stream.encode(image):
                self.bytes += packet.size
                self._container.mux(packet)
        except (OSError, av.FFmpegError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> OutputError:
        return OutputError(f"{self.path}: cannot be written: {reason_of(error)}")
