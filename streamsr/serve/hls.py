"""A stream's HLS: playlist and segments, which another process writes, out of their folder."""

import asyncio
import re
from collections.abc import Mapping

from aiohttp import web

from streamsr.serve.access.links import LINK, carried
from streamsr.serve.files import TimedFile, is_plain
from streamsr.serve.served import Served

__all__ = ["Hls"]

NAME = re.compile(r"[A-Za-z0-9_-]+\.(m3u8|mp4|m4s)")
TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",  # RFC 8216, 4
    ".mp4": "video/mp4",
    ".m4s": "video/iso.segment",
}
SEND_S = 60.0  # for a player to take a whole file


class Hls:
    """The handler of /hls."""

    def __init__(self, streams: Mapping[str, Served]) -> None:
        self._streams = streams

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/hls/{stream}/{file}", self.file)]

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One file, or the range of it that is asked for."""
        served = self._streams.get(request.match_info["stream"])
        name = request.match_info["file"]
        if served is None or served.hls is None or NAME.fullmatch(name) is None:
            raise web.HTTPNotFound(text="no such file")
        path = served.hls / name
        if not await asyncio.to_thread(is_plain, path):
            raise web.HTTPNotFound(text="no such file")
        # A name is used again after a restart: players that have the file ask if it is the same.
        headers = {"Content-Type": TYPES[path.suffix], "Cache-Control": "no-cache"}
        link = request.get(LINK)
        if link is not None and path.suffix == ".m3u8":
            text = carried(await asyncio.to_thread(path.read_text, "utf-8"), link)
            return web.Response(text=text, headers=headers)
        return TimedFile(path, headers, SEND_S)
