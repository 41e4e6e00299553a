"""Two models over the same frames, and the mean of both: how strongly a file is restored."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch

from streamsr.core.events import Emit
from streamsr.core.frame import Frame, Plane
from streamsr.core.metrics import Meter
from streamsr.core.target_size import TargetSize
from streamsr.engine.base import EngineStream, ModelEngine
from streamsr.networks.contract import Memory
from streamsr.networks.sliding import SlidingWindow

__all__ = ["BlendedEngine", "blended"]


def blended(one: Frame, other: Frame, share: float) -> Frame:
    """Returns two frames of one size as one, ``share`` (0 to 1) of it ``other``'s."""
    planes = []
    for pair in zip(one.planes, other.planes, strict=True):
        mean = cv2.addWeighted(pair[0], 1 - share, pair[1], share, 0.0)
        plane: Plane = np.asarray(mean, pair[0].dtype)
        planes.append(plane)
    return replace(one, planes=tuple(planes))


class BlendedEngine:
    """Streams through ``one`` and ``other``, ``share`` of each frame the other's."""

    def __init__(self, one: ModelEngine, other: ModelEngine, share: float) -> None:
        self._engines = one, other
        self._share = share

    @property
    def model(self) -> SlidingWindow:
        """That of the two which looks at more frames."""
        return max((engine.model for engine in self._engines), key=lambda m: m.facts.window)

    @property
    def device(self) -> torch.device:
        return self._engines[0].device

    @property
    def workers(self) -> int:
        return self._engines[0].workers

    def stream(
        self,
        name: str,
        meter: Meter,
        emit: Emit,
        *,
        beside: EngineStream | None = None,
        target: TargetSize | None = None,
    ) -> EngineStream:
        one, other = (
            engine.stream(name, meter, emit, beside=beside, target=target)
            for engine in self._engines
        )
        return _BlendedStream(one, other, self._engines[0], name, meter, emit, self._share)


class _BlendedStream(EngineStream):
    """One stream through both. Models that wait for frames to come must wait for as many."""

    def __init__(
        self,
        one: EngineStream,
        other: EngineStream,
        engine: ModelEngine,
        name: str,
        meter: Meter,
        emit: Emit,
        share: float,
    ) -> None:
        super().__init__(engine, name, meter, emit)
        self._streams = one, other
        self._share = share
        self._given: tuple[list[Future[Frame]], list[Future[Frame]]] = [], []  # without their pair

    def push(self, frame: Frame) -> list[Future[Frame]]:
        return self._take(frame)

    def flush(self) -> list[Future[Frame]]:
        return self._paired([stream.flush() for stream in self._streams])

    def memory(self) -> Sequence[Future[Memory]]:
        return [memory for stream in self._streams for memory in stream.memory()]

    @property
    def since_memory(self) -> int:
        return max(stream.since_memory for stream in self._streams)

    def restore(self, memory: Sequence[Memory]) -> list[Future[Frame]]:
        first = len(self._streams[0].memory())
        parts = memory[:first], memory[first:]
        return self._paired(
            [s.restore(part) if part else () for s, part in zip(self._streams, parts, strict=True)]
        )

    def size_of(self, frame: Frame) -> tuple[int, int]:
        return self._streams[0].size_of(frame)

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        return self._paired([stream.push(frame) for stream in self._streams])

    def _paired(self, upscaled: Sequence[Sequence[Future[Frame]]]) -> list[Future[Frame]]:
        for given, more in zip(self._given, upscaled, strict=True):
            given.extend(more)
        count = min(map(len, self._given))
        pairs = list(zip(*(given[:count] for given in self._given), strict=True))
        for given in self._given:
            del given[:count]
        return [self._blend(*pair) for pair in pairs]

    def _blend(self, one: Future[Frame], other: Future[Frame]) -> Future[Frame]:
        both: Future[Frame] = Future()
        one.add_done_callback(lambda _: other.add_done_callback(partial(self._settle, both, one)))
        return both

    def _settle(self, both: Future[Frame], one: Future[Frame], other: Future[Frame]) -> None:
        if one.cancelled() or other.cancelled():
            if both.cancel():
                both.set_running_or_notify_cancel()
            return
        try:
            both.set_result(blended(one.result(), other.result(), self._share))
        except Exception as error:  # whatever it is belongs to the one who waits
            both.set_exception(error)
