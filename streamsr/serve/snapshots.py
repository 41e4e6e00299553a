"""Snapshots of the streams over HTTP: few are taken, however many are asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping

from aiohttp import web

from streamsr.core.errors import StreamsrError
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.served import Served

__all__ = ["MOST_WIDTHS", "Snapshots", "TooManyWidthsError"]

RETRY_S = 2  # after which a client that got none should ask again

MOST_WIDTHS = 6  # of one stream that are taken within the time that one is new

Key = tuple[Hashable, int]
Take = Callable[[], Awaitable[bytes]]


class TooManyWidthsError(Exception):
    """Snapshots of a stream are asked for in too many widths at a time."""


class Snapshots:
    """The handler of /snapshot. Close it when the server stops."""

    def __init__(self, streams: Mapping[str, Served], limits: ServerLimits) -> None:
        self._streams = streams
        self._fresh_s = limits.snapshot_s
        # by whose they are and their width, and when each was begun
        self._newest: dict[Key, tuple[float, asyncio.Future[bytes]]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/snapshot/{stream}.jpg", self.jpeg)]

    async def jpeg(self, request: web.Request) -> web.Response:
        """The newest frame, as JPEG."""
        served = self._streams.get(request.match_info["stream"])
        if served is None or served.snapshot is None:
            raise web.HTTPNotFound(text="no such snapshot")
        try:
            # one who leaves does not cancel it for others
            body = await asyncio.shield(self.newest(served.snapshot, 0, served.snapshot))
        except (TimeoutError, StreamsrError):
            raise web.HTTPServiceUnavailable(
                text="there is no frame now", headers={"Retry-After": str(RETRY_S)}
            ) from None
        return web.Response(body=body, content_type="image/jpeg")

    def close(self) -> None:
        """Takes no more snapshots."""
        for _, taking in self._newest.values():
            taking.cancel()

    def newest(self, of: Hashable, width: int, take: Take) -> asyncio.Future[bytes]:
        """Returns the newest snapshot of a stream in a width, which ``take`` takes where it is old:
        it is for everyone who asks before it is. Who waits has to shield it.

        Raises TooManyWidthsError where others have asked for many: each is coded by itself.
        """
        now_s, key = asyncio.get_running_loop().time(), (of, width)
        _, taking = self._newest.get(key, (now_s, None))
        if taking is None or self._is_old(key, now_s):
            self._newest = {k: v for k, v in self._newest.items() if not self._is_old(k, now_s)}
            if width and sum(k[0] == of for k in self._newest) >= MOST_WIDTHS:
                raise TooManyWidthsError
            taking = asyncio.ensure_future(take())
            taking.add_done_callback(_note_failure)
            self._newest[key] = now_s, taking
        return taking

    def _is_old(self, key: Key, now_s: float) -> bool:
        begun_s, taking = self._newest[key]
        return taking.done() and now_s - begun_s >= self._fresh_s


def _note_failure(taking: asyncio.Future[bytes]) -> None:
    """Retrieves it: asyncio would log it as never retrieved once everyone who asked has left."""
    if not taking.cancelled():
        taking.exception()
