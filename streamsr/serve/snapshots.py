"""Snapshots of the streams over HTTP: few are taken, however many are asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from streamsr.core.errors import StreamsrError
from streamsr.serve.limits import ServerLimits
from streamsr.serve.served import Served

__all__ = ["Snapshots"]

RETRY_S = 2  # after which a client that got none should ask again

Take = Callable[[], Awaitable[bytes]]


class Snapshots:
    """The handler of /snapshot. Close it when the server stops."""

    def __init__(self, streams: Mapping[str, Served], limits: ServerLimits) -> None:
        self._streams = streams
        self._fresh_s = limits.snapshot_s
        self._newest: dict[str, _Newest] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/snapshot/{stream}.jpg", self.jpeg)]

    async def jpeg(self, request: web.Request) -> web.Response:
        """The newest frame, as JPEG."""
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
        """Takes no more snapshots."""
        for newest in self._newest.values():
            newest.stop()

    def _of(self, name: str, take: Take) -> "_Newest":
        """The newest snapshot of the stream that has this name now."""
        found = self._newest.get(name)
        if found is None or found.take is not take:
            for gone in [n for n in self._newest if n == name or n not in self._streams]:
                self._newest.pop(gone).stop()
            found = self._newest[name] = _Newest(take, self._fresh_s)
        return found


class _Newest:
    """A stream's newest snapshot, for everyone who asks before it is old."""

    def __init__(self, take: Take, fresh_s: float) -> None:
        self.take = take
        self._fresh_s = fresh_s
        self._taking: asyncio.Future[bytes] | None = None
        self._begun_s = float("-inf")  # loop time

    async def get(self) -> bytes:
        """Raises TimeoutError, or what taking it raises."""
        now_s = asyncio.get_running_loop().time()
        if self._taking is None or (self._taking.done() and now_s - self._begun_s >= self._fresh_s):
            self._begun_s = now_s
            self._taking = asyncio.ensure_future(self.take())
            self._taking.add_done_callback(_note_failure)
        return await asyncio.shield(self._taking)  # one who leaves does not cancel it for others

    def stop(self) -> None:
        if self._taking is not None:
            self._taking.cancel()


def _note_failure(taking: asyncio.Future[bytes]) -> None:
    """Retrieves it: asyncio would log it as never retrieved once everyone who asked has left."""
    if not taking.cancelled():
        taking.exception()
