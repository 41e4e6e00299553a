"""Two models over the same frames, and the mean of both: how strongly a file is restored."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import cv2
import numpy as np
import torch

from streamsr.core.frame import Frame, Plane
from streamsr.engine.base import EngineStream, ModelEngine, StreamRequest
from streamsr.engine.mixed.futures import made_of
from streamsr.engine.mixed.over import EngineOver
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


_Waiting = tuple[int, Sequence[Memory]]
"""A memory to be restored, and how many frames a stream takes before."""


class BlendedEngine(EngineOver):
    """Streams through ``one`` and ``other``, ``share`` of each frame the other's."""

    def __init__(self, one: ModelEngine, other: ModelEngine, share: float) -> None:
        super().__init__(one)
        self._engines = one, other
        self._share = share

    @property
    def model(self) -> SlidingWindow:
        """That of the two which looks at more frames."""
        return max((engine.model for engine in self._engines), key=lambda m: m.facts.window)

    def stream(self, request: StreamRequest) -> EngineStream:
        one, other = (engine.stream(request) for engine in self._engines)
        return _BlendedStream(one, other, self._engines[0], request, self._share)


class _BlendedStream(EngineStream):
    """One stream through both. Models that wait for frames to come must wait for as many."""

    def __init__(
        self,
        one: EngineStream,
        other: EngineStream,
        engine: ModelEngine,
        request: StreamRequest,
        share: float,
    ) -> None:
        super().__init__(engine, request)
        self._streams = one, other
        self._share = share
        self._given: tuple[list[Future[Frame]], list[Future[Frame]]] = [], []  # without their pair
        self._waiting: tuple[list[_Waiting], list[_Waiting]] = [], []  # one at most, each

    def push(self, frame: Frame) -> list[Future[Frame]]:
        return self._take(frame)

    def flush(self) -> list[Future[Frame]]:
        return self._paired([stream.flush() for stream in self._streams])

    def memory(self) -> Sequence[Future[Memory]]:
        """Returns what both have, after how much of it is whose: what a stream has depends on how
        far it is, so that another one cannot tell."""
        left = [stream.memory() for stream in self._streams]
        if not any(left):
            return ()
        shares = [(len(m), s.since_memory) for m, s in zip(left, self._streams, strict=True)]
        shared: Future[Memory] = Future()
        shared.set_result((torch.tensor(shares),))
        return [shared, *left[0], *left[1]]

    @property
    def since_memory(self) -> int:
        return max(stream.since_memory for stream in self._streams)

    def restore(self, memory: Sequence[Memory]) -> list[Future[Frame]]:
        shares: list[tuple[int, int]] = memory[0][0].tolist()
        (first, _), _ = shares
        parts = memory[1 : 1 + first], memory[1 + first :]
        most = max(since for _, since in shares)
        for waiting, part, (_, since) in zip(self._waiting, parts, shares, strict=True):
            waiting[:] = [(most - since, part)] if part else []
        return self._paired([self._restored(number) for number in range(len(self._streams))])

    def size_of(self, frame: Frame) -> tuple[int, int]:
        return self._streams[0].size_of(frame)

    def _take(self, frame: Frame) -> list[Future[Frame]]:
        upscaled = []
        for number, stream in enumerate(self._streams):
            given = [*stream.push(frame)]
            self._waiting[number][:] = [(left - 1, part) for left, part in self._waiting[number]]
            upscaled.append([*given, *self._restored(number)])
        return self._paired(upscaled)

    def _restored(self, number: int) -> Sequence[Future[Frame]]:
        """Restores a stream of the two, once it is as far as its memory."""
        waiting = self._waiting[number]
        if not waiting or waiting[0][0] > 0:
            return ()
        _, part = waiting.pop()
        return self._streams[number].restore(part)

    def _paired(self, upscaled: Sequence[Sequence[Future[Frame]]]) -> list[Future[Frame]]:
        for given, more in zip(self._given, upscaled, strict=True):
            given.extend(more)
        count = min(map(len, self._given))
        pairs = list(zip(*(given[:count] for given in self._given), strict=True))
        for given in self._given:
            del given[:count]
        return [self._blend(*pair) for pair in pairs]

    def _blend(self, *pair: Future[Frame]) -> Future[Frame]:
        return made_of(pair, lambda frames: blended(frames[0], frames[1], self._share))
