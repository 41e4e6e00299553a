"""The page and its files, the streams as JSON, and the health of the process."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from typing import Any

from aiohttp import web

from streamsr.serve.session import Served
from streamsr.status import StreamStatus

__all__ = ["Pages"]

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
DECIMALS = 3


class Pages:
    """The handlers of everything that is not WHEP."""

    def __init__(self, streams: Mapping[str, Served]) -> None:
        self._streams = streams
        self._files = _load()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/watch/{stream}", self.index),
            web.get("/page/{file}", self.file),
            web.get("/api/streams", self.list),
            web.get("/api/streams/{stream}", self.status),
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The page, which takes the stream's name from its address, or else the first one."""
        name = request.match_info.get("stream")
        if name is not None and name not in self._streams:
            raise web.HTTPNotFound(text="no such stream")
        return self._respond("index.html")

    async def file(self, request: web.Request) -> web.Response:
        return self._respond(request.match_info["file"])

    async def list(self, request: web.Request) -> web.Response:
        """The status of every stream."""
        return web.json_response([_encode(n, s.status()) for n, s in self._streams.items()])

    async def status(self, request: web.Request) -> web.Response:
        """The status of one stream."""
        name = request.match_info["stream"]
        served = self._streams.get(name)
        if served is None:
            raise web.HTTPNotFound(text="no such stream")
        return web.json_response(_encode(name, served.status()))

    async def livez(self, request: web.Request) -> web.Response:
        """Whether the event loop turns. A dead camera does not matter here."""
        return web.Response(text="ok")

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether there is anything to watch."""
        ready = any(served.status().state == "live" for served in self._streams.values())
        return web.Response(
            text="ok" if ready else "no stream is live", status=200 if ready else 503
        )

    def _respond(self, name: str) -> web.Response:
        body = self._files.get(name)
        if body is None:
            raise web.HTTPNotFound(text="no such file")
        kind = TYPES[name.rpartition(".")[2]]
        headers = {"Cache-Control": "no-cache"}  # small, and must fit the server that is running
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


def _load() -> dict[str, bytes]:
    """Read the page's files once: what is served is decided here, not by a path in a request."""
    folder = resources.files("streamsr.serve") / "page"
    names = [f.name for f in folder.iterdir() if f.name.rpartition(".")[2] in TYPES]
    return {name: (folder / name).read_bytes() for name in names}


def _encode(name: str, status: StreamStatus) -> dict[str, Any]:
    """JSON of a status: floats rounded, and none that JSON does not know."""
    fields = asdict(status) | {"name": name}
    for key, value in fields.items():
        if isinstance(value, float):
            fields[key] = round(value, DECIMALS) if math.isfinite(value) else None
    return fields
