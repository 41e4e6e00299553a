"""The API as the web server mounts it: its operations, its document, and a page of that."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiohttp import web

from streamsr.control.node_api import NodeApi
from streamsr.serve.access.access import Access
from streamsr.serve.api.cameras import Cameras
from streamsr.serve.api.docs import STYLE, page_of
from streamsr.serve.api.events import EventFeed
from streamsr.serve.api.latency import Latency
from streamsr.serve.api.links import Links
from streamsr.serve.api.openapi import document
from streamsr.serve.api.operations import BODY_TYPES, ApiOperation
from streamsr.serve.api.problems import BASE
from streamsr.serve.api.recordings import Recordings
from streamsr.serve.api.viewer import Viewer
from streamsr.serve.served import Served
from streamsr.serve.snapshots import Snapshots

__all__ = ["Api"]


class Api:
    """Everything below /api/v1. Without a ``node`` there is nothing to steer: streams are shown."""

    def __init__(
        self,
        streams: Mapping[str, Served],
        node: NodeApi | None,
        access: Access,
        snapshots: Snapshots,
        feed: EventFeed,
        viewer: Viewer,
    ) -> None:
        self.operations: Sequence[ApiOperation] = [
            *(Cameras(node, streams, snapshots).operations() if node is not None else ()),
            *Recordings(streams).operations(),
            *Latency(streams).operations(),
            *Links(access, streams).operations(),
            *feed.operations(),
            *viewer.operations(),
        ]
        self.document = document(self.operations)

    def routes(self) -> list[web.RouteDef]:
        files = {
            "/openapi.json": ("application/json", json.dumps(self.document, indent=1)),
            "/docs": ("text/html", page_of(self.document)),
            "/docs.css": ("text/css", STYLE),
        }
        return [
            *(operation.route() for operation in self.operations),
            *(web.get(f"{BASE}{path}", _File(*file).send) for path, file in files.items()),
            *self._options([*files]),
        ]

    def _options(self, files: Sequence[str]) -> list[web.RouteDef]:
        """What may be asked of each path (RFC 9110, 9.3.7)."""
        methods: dict[str, list[str]] = defaultdict(list)
        for operation in self.operations:
            methods[operation.path].append(operation.method)
        for path in files:
            methods[path].append("GET")
        return [
            web.options(f"{BASE}{path}", _Options(found).answer) for path, found in methods.items()
        ]


class _File:
    """A text that stays as it is while the server runs."""

    def __init__(self, kind: str, text: str) -> None:
        self._kind = kind
        self._text = text
        self._tag = hashlib.sha256(text.encode()).hexdigest()[:16]

    async def send(self, request: web.Request) -> web.Response:
        asked = request.if_none_match or ()
        same = any(tag.value in (self._tag, "*") for tag in asked)
        response = web.Response(status=304) if same else web.Response(text=self._text)
        if not same:
            response.content_type = self._kind
        response.etag = self._tag
        response.headers["Cache-Control"] = "no-cache"
        return response


class _Options:
    """The answer to OPTIONS on one path."""

    def __init__(self, methods: Sequence[str]) -> None:
        self._allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"})

    async def answer(self, request: web.Request) -> web.Response:
        headers = {"Allow": ", ".join(self._allowed)}
        for method in BODY_TYPES.keys() & set(self._allowed):
            headers[f"Accept-{method.title()}"] = ", ".join(BODY_TYPES[method])
        return web.Response(status=204, headers=headers)
