"""The page and its files, the streams as JSON, and the health of the process."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from typing import Any

from aiohttp import web

from streamsr.core.redact import json_value
from streamsr.core.status import StreamState
from streamsr.serve.access.forwarded import ARRIVAL
from streamsr.serve.served import Served

__all__ = ["Pages"]

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


class Pages:
    """The handlers of the page, of /api and of the health checks."""

    def __init__(self, streams: Mapping[str, Served]) -> None:
        self._streams = streams
        self._files = _load()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/watch/{stream}", self.watch),
            web.get("/page/{file}", self.file),
            web.get("/api/streams", self.list),
            web.get("/api/streams/{stream}", self.status),
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """All streams, or the page of the one there is.

        A proxy that takes off a path may let it end without a slash, which then is not its folder.
        """
        prefix = request[ARRIVAL].prefix
        root = f"{prefix}/" if prefix else ""
        return self._respond("overview.html" if len(self._streams) > 1 else "index.html", root)

    async def watch(self, request: web.Request) -> web.Response:
        """The page of one stream, which takes its name from its address."""
        if request.match_info["stream"] not in self._streams:
            raise web.HTTPNotFound(text="no such stream")
        return self._respond("index.html", "../")

    async def file(self, request: web.Request) -> web.Response:
        return self._respond(request.match_info["file"])

    async def list(self, request: web.Request) -> web.Response:
        """The status of every stream."""
        return web.json_response([_encode(n, s) for n, s in self._streams.items()])

    async def status(self, request: web.Request) -> web.Response:
        """The status of one stream."""
        name = request.match_info["stream"]
        served = self._streams.get(name)
        if served is None:
            raise web.HTTPNotFound(text="no such stream")
        return web.json_response(_encode(name, served))

    async def livez(self, request: web.Request) -> web.Response:
        """Whether the event loop runs. A dead camera does not matter here."""
        return web.Response(text="ok")

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether there is anything to watch: a model that is loaded, and a source that is live.

        A stream has an output size once a frame has been through its model.
        """
        statuses = [served.status() for served in self._streams.values()]
        live = [status for status in statuses if status.state == StreamState.LIVE]
        ready = any(status.output for status in live)
        counts = Counter(status.state for status in statuses)
        states = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
        missing = "no model is loaded" if live else "no source is live"
        text = "a model is loaded and a source is live" if ready else missing
        return web.Response(text=f"{text}; streams: {states}", status=200 if ready else 503)

    def _respond(self, name: str, root: str = "") -> web.Response:
        """A file of the page; ``root`` leads from its address to the page's root.

        All addresses are relative, so that the page works below whatever path a proxy has it at.
        """
        body = self._files.get(name)
        if body is None:
            raise web.HTTPNotFound(text="no such file")
        if root:
            body = body.replace(b'="page/', f'="{root}page/'.encode())
        kind = TYPES[name.rpartition(".")[2]]
        headers = {"Cache-Control": "no-cache"}  # small, and must fit the server that is running
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


def _load() -> dict[str, bytes]:
    """Reads the page's files once: what is served is decided here, not by a path in a request."""
    folder = resources.files("streamsr.serve") / "page"
    names = [f.name for f in folder.iterdir() if f.name.rpartition(".")[2] in TYPES]
    return {name: (folder / name).read_bytes() for name in names}


def _encode(name: str, served: Served) -> dict[str, Any]:
    """JSON of a stream: its status, its outputs, and what can be had of it."""
    outputs = [asdict(output) for output in served.outputs()]
    status: dict[str, Any] = json_value(asdict(served.status()) | {"outputs": outputs})
    return status | {"name": name, "snapshot": served.snapshot is not None, "hls": bool(served.hls)}
