"""Many images through a clip: read as they are needed, upscaled side by side, given in order."""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
)
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

from streamsr.api.clip_stream import ClipStream, Ticket

__all__ = ["Upscaled", "UpscaledAsync"]

T = TypeVar("T")
Push = Callable[[ClipStream, Any], Ticket]
"""Begins an item of the caller's."""


class _Flow:
    """The images of one clip between its source and who takes them.

    At most ``most`` are begun and not taken. A source that fails ends the clip: what it gave before
    comes out, then its error is raised.
    """

    def __init__(self, clip: ClipStream, push: Push, most: int) -> None:
        self.tickets: deque[Ticket] = deque()
        self.ended = False
        self._failure: Exception | None = None
        self._clip = clip
        self._push = push
        self._most = most

    @property
    def full(self) -> bool:
        return len(self.tickets) >= self._most

    @property
    def due(self) -> bool:
        """Whether the oldest image has been upscaled."""
        return bool(self.tickets) and self.tickets[0].upscaled.done()

    def take(self, item: Any) -> None:
        """Begins the next item."""
        try:
            self.tickets.append(self._push(self._clip, item))
        except Exception as error:
            self.end(error)

    def end(self, failure: Exception | None = None) -> None:
        """States that no other item comes, as the source failed, where it did."""
        self.ended, self._failure = True, failure
        with suppress(Exception):  # it is closed, as the tickets say
            self._clip.flush()

    def check(self) -> None:
        """Raises the source's failure, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Gives up what has not been taken."""
        self.ended, self._failure = True, None
        self._clip.close()
        while self.tickets:
            self.tickets.popleft().cancel()


class _Reader:
    """A source that is read in step, into a flow."""

    def __init__(self, source: Iterator[Any], flow: _Flow) -> None:
        self._source = source
        self._flow = flow

    def read(self) -> None:
        try:
            item = next(self._source)
        except StopIteration:
            self._flow.end()
        except Exception as error:
            self._flow.end(error)
        else:
            self._flow.take(item)

    async def read_beside(self) -> None:
        await asyncio.to_thread(self.read)


class Upscaled(Iterator[T], AsyncIterator[T], Generic[T]):
    """What becomes of images, in their order: iterate over it, with ``for`` or ``async for``.

    Nothing is read before it is asked for, and never more than the engine's threads need. As a
    context it is closed at the end.
    """

    def __init__(self, source: Iterable[T], clip: ClipStream, push: Push, most: int) -> None:
        self._flow = _Flow(clip, push, most)
        self._reader = _Reader(iter(source), self._flow)
        self._async: AsyncGenerator[Any, None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        flow, has_read = self._flow, False
        while True:
            if flow.tickets and (flow.ended or flow.full or (has_read and flow.due)):
                result: T = flow.tickets.popleft().result()
                return result
            if flow.ended:
                flow.check()
                raise StopIteration
            self._reader.read()
            has_read = True

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._async is None:
            self._async = _results(self._flow, self._reader.read_beside)
        result: T = await anext(self._async)
        return result

    def close(self) -> None:
        """Gives up what has not been taken; it ends then."""
        self._flow.close()

    async def aclose(self) -> None:
        """Does what ``close`` does."""
        self.close()
        if self._async is not None:
            await self._async.aclose()

    def __del__(self) -> None:
        if hasattr(self, "_flow"):
            self._flow.close()


class UpscaledAsync(AsyncIterator[T], Generic[T]):
    """What becomes of the images of an asynchronous source: iterate over it with ``async for``.

    As a context it is closed at the end.
    """

    def __init__(self, source: AsyncIterable[T], clip: ClipStream, push: Push, most: int) -> None:
        self._source = aiter(source)
        self._flow = _Flow(clip, push, most)
        self._results: AsyncGenerator[Any, None] = _results(self._flow, self._read)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        result: T = await anext(self._results)
        return result

    async def aclose(self) -> None:
        """Gives up what has not been taken; it ends then."""
        self._flow.close()
        await self._results.aclose()

    def __del__(self) -> None:
        if hasattr(self, "_flow"):
            self._flow.close()

    async def _read(self) -> None:
        try:
            item = await anext(self._source)
        except StopAsyncIteration:
            self._flow.end()
        except Exception as error:
            self._flow.end(error)
        else:
            await asyncio.to_thread(self._flow.take, item)


async def _results(flow: _Flow, read: Callable[[], Any]) -> AsyncGenerator[Any, None]:
    """Yields upscaled images as they are done, while the next ones are read."""
    reading: asyncio.Task[None] | None = None
    try:
        while not flow.ended or flow.tickets or reading is not None:
            if reading is None and not flow.ended and not flow.full:
                reading = asyncio.create_task(read(), name="streamsr-read")
            oldest = _when_done(flow.tickets[0].upscaled) if flow.tickets else None
            await asyncio.wait(
                [one for one in (reading, oldest) if one is not None],
                return_when=asyncio.FIRST_COMPLETED,
            )
            if reading is not None and reading.done():
                await reading
                reading = None
            if flow.due:
                yield await asyncio.to_thread(flow.tickets.popleft().result)
        flow.check()
    finally:
        flow.close()
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _when_done(future: Future[Any]) -> asyncio.Future[None]:
    """Returns what is done in this loop once ``future`` is, however it ended."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(None))

    future.add_done_callback(wake)
    return done
