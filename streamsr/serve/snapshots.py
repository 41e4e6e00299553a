"""Still pictures of the streams: few are taken, however many are asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from streamsr.core.errors import StreamsrError
from streamsr.serve.viewer_session import Served

__all__ = ["Snapshots"]

FRESH_S = 1.0  # a picture of this age is as good as a new one, whose keyframe viewers pay for
RETRY_S = 2  # when there was none, ask again

Take = Callable[[], Awaitable[bytes]]


class Snapshots:
    """The handler of /snapshot. Close it when the server stops."""

    def __init__(self, streams: Mapping[str, Served]) -> None:
        self._streams = streams
        self._newest: dict[str, _Newest] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/snapshot/{stream}.jpg", self.jpeg)]

    async def jpeg(self, request: web.Request) -> web.Response:
        """The picture of now, as JPEG."""
        name = request.match_info["stream"]
        served = self._streams.get(name)
        if served is None or served.snapshot is None:
            raise web.HTTPNotFound(text="no such picture")
        try:
            body = await self._of(name, served.snapshot).get()
        except (TimeoutError, StreamsrError):
            raise web.HTTPServiceUnavailable(
                text="there is no picture now", headers={"Retry-After": str(RETRY_S)}
            ) from None
        return web.Response(body=body, content_type="image/jpeg")

    def close(self) -> None:
        """Take no more pictures."""
        for newest in self._newest.values():
            newest.stop()

    def _of(self, name: str, take: Take) -> "_Newest":
        """The newest picture of the stream that has this name now."""
        found = self._newest.get(name)
        if found is None or found.take is not take:
            for gone in [n for n in self._newest if n == name or n not in self._streams]:
                self._newest.pop(gone).stop()
            found = self._newest[name] = _Newest(take)
        return found


class _Newest:
    """A stream's newest picture, for everyone who asks meanwhile."""

    def __init__(self, take: Take) -> None:
        self.take = take
        self._taking: asyncio.Task[bytes] | None = None
        self._begun_s = float("-inf")  # loop time

    async def get(self) -> bytes:
        """Raises TimeoutError, or what taking it raises."""
        now_s = asyncio.get_running_loop().time()
        if self._taking is None or (self._taking.done() and now_s - self._begun_s >= FRESH_S):
            self._begun_s = now_s
            self._taking = asyncio.create_task(_taken(self.take), name="snapshot")
            self._taking.add_done_callback(_noted)
        return await asyncio.shield(self._taking)  # who leaves does not take it from the others

    def stop(self) -> None:
        if self._taking is not None:
            self._taking.cancel()


async def _taken(take: Take) -> bytes:
    """A coroutine, which a task wants, of whatever can be awaited."""
    return await take()


def _noted(task: asyncio.Task[bytes]) -> None:
    """Look at its failure, which asyncio would complain of when everyone who asked has left."""
    if not task.cancelled():
        task.exception()
