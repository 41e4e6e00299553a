"""Links that expire over HTTP: whoever may control makes them for those who may watch."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import ARRIVAL
from streamsr.serve.access.links import LONGEST_S, PARAMETER, signed, watchable
from streamsr.serve.access.roles import require_control
from streamsr.serve.access.tokens import find_token, presented_token
from streamsr.serve.http import read_text

__all__ = ["LinkMaker"]

BODY_S = 10.0
SHORTEST_S = 1.0


class LinkMaker:
    """The handler of /api/v1/links."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v1/links", self.make)]

    async def make(self, request: web.Request) -> web.Response:
        """Makes a link of ``{"path": "/hls/gate/index.m3u8", "seconds": 3600}``.

        Returns ``{"address": …, "expires": …}``, the address as the one who asks sees this server.
        """
        require_control(request)
        path, seconds = _parse(await read_text(request, "application/json", BODY_S))
        prefix = watchable(path)
        if prefix is None:
            raise web.HTTPBadRequest(
                text=f"path: got {path[:80]!r}, allowed are /hls/NAME/…, /snapshot/NAME.jpg, "
                "/live/NAME and /api/v1/cameras/NAME/snapshot or /recordings/…"
            )
        header = request.headers.get("Authorization", "")
        token = find_token(self._access.secrets.tokens, presented_token(header) or "")
        if token is None:
            raise web.HTTPConflict(text="there is no token here: addresses need none")
        until_s = int(time.time() + seconds)
        arrival = request[ARRIVAL]
        root = (
            f"{arrival.scheme or request.scheme}://{arrival.host or request.host}"
            f"{arrival.prefix}{self._access.base_of(request.path)}"
        )
        address = f"{root}{path}?{PARAMETER}={signed(token, prefix, until_s)}"
        expires = datetime.fromtimestamp(until_s, UTC).isoformat().replace("+00:00", "Z")
        return web.json_response({"address": address, "expires": expires}, status=201)


def _parse(text: str) -> tuple[str, float]:
    """Path and seconds of a body. Raises HTTPBadRequest."""
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict) or body.keys() - {"path", "seconds"}:
        raise web.HTTPBadRequest(text="allowed is an object of path and seconds")
    path, seconds = body.get("path"), body.get("seconds", 3600)
    if not isinstance(path, str):
        raise web.HTTPBadRequest(text="path: allowed is the path of what is to be watched")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not SHORTEST_S <= seconds <= LONGEST_S:
        raise web.HTTPBadRequest(text=f"seconds: allowed are {SHORTEST_S:g} to {LONGEST_S:g}")
    return path, float(seconds)
