"""Before and after in one frame: side by side, or a half of each with a line between them."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Literal

import cv2
import numpy as np

from streamsr.core.frame import Frame, Plane
from streamsr.engine.base import EngineStream, ModelEngine, StreamRequest
from streamsr.engine.mixed.futures import made_of
from streamsr.engine.mixed.over import EngineOver
from streamsr.engine.resample import resize_frame
from streamsr.networks.contract import Memory

__all__ = ["ComparedEngine", "compared"]

Compare = Literal["side", "split"]

LINE_PX = 2  # between the halves
LABELS = ("before", "after")
LABEL_SHARE, LEAST_LABEL = 1 / 900, 0.35  # of a frame's height: the size of OpenCV's letters
FONT = cv2.FONT_HERSHEY_SIMPLEX


def compared(source: Frame, upscaled: Frame, compare: Compare, *, labels: bool = False) -> Frame:
    """Returns ``upscaled`` beside its ``source``, which is scaled plainly to its size: twice as
    wide, or (split) the left half before, the right half after."""
    before = resize_frame(source, upscaled.width, upscaled.height)
    if not upscaled.is_rgb:
        before, upscaled = before.cropped(2), upscaled.cropped(2)
    middle = upscaled.width // 4 * 2
    joined = []
    for number, pair in enumerate(zip(before.planes, upscaled.planes, strict=True)):
        at = middle if number == 0 else middle // 2
        if compare == "side":
            joined.append(np.concatenate(pair, axis=1))
        else:
            plane = np.concatenate((pair[0][:, :at], pair[1][:, at:]), axis=1)
            wide = LINE_PX if number == 0 else LINE_PX // 2
            plane[:, at : at + wide] = _white(upscaled, number)
            joined.append(plane)
    if labels:
        _label(joined[0], upscaled)
    return replace(upscaled, planes=tuple(joined))


class ComparedEngine(EngineOver):
    """An engine whose streams give both. What runs beside one of them is not compared."""

    def __init__(self, engine: ModelEngine, compare: Compare, *, labels: bool) -> None:
        super().__init__(engine)
        self._compare: Compare = compare
        self._labels = labels

    def stream(self, request: StreamRequest) -> EngineStream:
        beside = request.beside
        if isinstance(beside, _ComparedStream):
            request = replace(request, beside=beside.upscaling)
        stream = self._engine.stream(request)
        if beside is not None:
            return stream
        return _ComparedStream(stream, self._engine, request, self._compare, self._labels)


class _ComparedStream(EngineStream):
    """One stream through an engine, each frame laid beside its source in the engine's threads."""

    def __init__(
        self,
        upscaling: EngineStream,
        engine: ModelEngine,
        request: StreamRequest,
        compare: Compare,
        labels: bool,
    ) -> None:
        super().__init__(engine, request)
        self.upscaling = upscaling
        self._compare: Compare = compare
        self._labels = labels
        self._sources: deque[Frame] = deque()  # of what is in the engine

    def push(self, frame: Frame) -> list[Future[Frame]]:
        return self._take(frame)

    def flush(self) -> list[Future[Frame]]:
        return self._laid(self.upscaling.flush())

    def memory(self) -> Sequence[Future[Memory]]:
        return self.upscaling.memory()

    @property
    def since_memory(self) -> int:
        return self.upscaling.since_memory

    def restore(self, memory: Sequence[Memory]) -> list[Future[Frame]]:
        return self._laid(self.upscaling.restore(memory))

    def size_of(self, frame: Frame) -> tuple[int, int]:
        return self.upscaling.size_of(frame)

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        self._sources.append(frame)
        return self._laid(self.upscaling.push(frame))

    def _laid(self, upscaled: Sequence[Future[Frame]]) -> list[Future[Frame]]:
        return [
            made_of([future], partial(self._compared, self._sources.popleft()))
            for future in upscaled
        ]

    def _compared(self, source: Frame, upscaled: Sequence[Frame]) -> Frame:
        return compared(source, upscaled[0], self._compare, labels=self._labels)


def _white(frame: Frame, number: int) -> int:
    """The sample of white in a plane."""
    if frame.is_rgb:
        return frame.most
    if number:
        return 1 << (frame.depth - 1)
    black, luma, _ = frame.colour.spans
    return round((black + luma) * frame.step)


def _label(plane: Plane, frame: Frame) -> None:
    """Writes the labels into the luma, or R'G'B', at the bottom of each half."""
    height, width = plane.shape[:2]
    size, margin = max(LEAST_LABEL, height * LABEL_SHARE), max(2, height // 60)
    thick = max(1, round(size))
    white = _white(frame, 0)
    for text, left in zip(LABELS, (0, width // 2), strict=True):
        at = left + margin, height - margin - thick
        for levels, wide in ((0, 3 * thick), (white, thick)):
            colour = (levels,) * 3
            cv2.putText(plane, text, at, FONT, size, colour, wide, cv2.LINE_AA)
