"""One clip on its way through an engine: images in, upscaled images out, in order.

What the engine does to take a frame runs in a thread of ours, so that it costs the caller nothing,
and torch no threads of the caller's.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from streamsr.api.images.kinds import OpenedImage
from streamsr.api.shared import FORKED
from streamsr.core.errors import EngineClosedError, InputError
from streamsr.core.frame import Frame
from streamsr.engine.base import EngineStream

__all__ = ["ClipStream", "Ticket"]


@dataclass(slots=True, eq=False)
class Ticket:
    """An image that was begun, and what is to come of it.

    ``closed`` makes the error that it ends with where the engine is closed before.
    """

    restore: Callable[[Frame], Any]
    closed: Callable[[], InputError]
    process: int = field(default_factory=os.getpid)
    upscaled: Future[Frame] = field(default_factory=Future)
    _running: Future[Frame] | None = None  # the engine's; None before its window is complete

    def follow(self, running: Future[Frame]) -> None:
        """Ends as ``running`` does."""
        self._running = running  # before it can be done
        running.add_done_callback(self._settle)

    def fail(self, error: BaseException) -> None:
        """Ends with an error, where it has not ended."""
        if not self.upscaled.done():
            self.upscaled.set_exception(error)

    def cancel(self) -> None:
        """Tells the engine that nobody waits for the image any more."""
        if (running := self._running) is not None:
            running.cancel()

    def result(self) -> Any:
        """Waits for the image, and returns it as what it was made of. Raises InputError where the
        engine is closed before, and in a process that was forked from its own."""
        if os.getpid() != self.process:
            raise InputError(FORKED)
        return self.restore(self.upscaled.result())

    def _settle(self, running: Future[Frame]) -> None:
        self._running = None  # it keeps this, and both would wait for the garbage collection
        try:
            self.upscaled.set_result(running.result())
        except CancelledError:
            self.fail(self.closed())
        except BaseException as error:  # whatever it is belongs to the one who waits
            self.fail(error)


class ClipStream:
    """Images of one size, one after another. One thread may begin them.

    ``begin`` is called with the first one, whose size and kind decide. ``closed`` makes the error
    of what comes too late.
    """

    def __init__(
        self,
        begin: Callable[[OpenedImage], EngineStream],
        feeder: ThreadPoolExecutor,
        closed: Callable[[], InputError],
    ) -> None:
        self._begin = begin
        self._feeder = feeder
        self._closed_fault = closed
        self._stream: EngineStream | None = None
        self._first: OpenedImage | None = None
        self._count = 0  # images begun
        self._waiting: deque[Ticket] = deque()  # begun, but their window is not complete
        self._closed = False

    def push(self, image: OpenedImage, tagged: Callable[[Any], Any]) -> tuple[Ticket, Future[int]]:
        """Begins an image; returns its ticket, and how many tickets' windows that completes.

        ``tagged`` makes of the upscaled image what the caller gets. Raises InputError for another
        size than that of the images before.
        """
        if self._closed:
            raise self._closed_fault()
        self._check(image)
        ticket = Ticket(lambda frame: tagged(image.restore(frame)), self._closed_fault)
        self._waiting.append(ticket)
        frame = image.frame(self._count)
        self._count += 1
        return ticket, self._submit(partial(self._push, image, frame))

    def flush(self) -> Future[int]:
        """Ends the clip; returns how many tickets' windows that completes: all that wait."""
        return self._submit(self._flush)

    def close(self) -> None:
        """Takes no more images; those that wait end with InputError."""
        self._closed = True

    def _check(self, image: OpenedImage) -> None:
        if self._first is None:
            self._first = image
        (width, height), (first_width, first_height) = image.size, self._first.size
        if image.size != self._first.size:
            raise InputError(
                f"image {self._count + 1}: got {width}x{height}, allowed is {first_width}x"
                f"{first_height}, as the images before it: flush() lets another clip begin"
            )

    def _submit(self, work: Callable[[], Sequence[Future[Frame]]]) -> Future[int]:
        try:
            return self._feeder.submit(self._followed, work)
        except RuntimeError:  # the feeder is shut down
            raise self._closed_fault() from None

    def _followed(self, work: Callable[[], Sequence[Future[Frame]]]) -> int:
        """In the feeder: hands each ticket, in order, what the engine will make."""
        try:
            if self._closed:
                raise self._closed_fault()
            running = work()
        except BaseException as error:  # whatever it is belongs to those who wait
            failure = self._closed_fault() if isinstance(error, EngineClosedError) else error
            count = len(self._waiting)
            while self._waiting:
                self._waiting.popleft().fail(failure)
            return count
        for one in running:
            self._waiting.popleft().follow(one)
        return len(running)

    def _push(self, image: OpenedImage, frame: Frame) -> Sequence[Future[Frame]]:
        if self._stream is None:
            self._stream = self._begin(image)
        return self._stream.push(frame)

    def _flush(self) -> Sequence[Future[Frame]]:
        return () if self._stream is None else self._stream.flush()
