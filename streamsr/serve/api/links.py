"""The operation that makes links: whoever may control makes them for those who may watch."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from aiohttp import web
from pydantic import Field

from streamsr.core.config import Settings
from streamsr.serve.access.access import Access
from streamsr.serve.access.forwarded import ARRIVAL
from streamsr.serve.access.links import (
    LONGEST_S,
    PARAMETER,
    WATCHED,
    camera_of,
    signed,
    watchable,
)
from streamsr.serve.access.tokens import find_token, presented_token
from streamsr.serve.api.operations import ApiOperation
from streamsr.serve.api.problems import ProblemError

__all__ = ["LinkQuestion", "LinkView", "Links"]


class LinkQuestion(Settings):
    """What a link is to be for, and how long."""

    path: str = Field(max_length=512, examples=["/hls/gate/index.m3u8"])
    seconds: float = Field(default=3600.0, ge=1, le=LONGEST_S)


class LinkView(Settings):
    """A link: whoever has it may watch."""

    address: str  # as the one who asked sees this server
    expires: datetime  # UTC


class Links:
    """The operations on links. The node keeps none: what one is for is in its token."""

    def __init__(self, access: Access, streams: Mapping[str, object]) -> None:
        """``streams``: the cameras that there are, by name."""
        self._access = access
        self._streams = streams

    def operations(self) -> Sequence[ApiOperation]:
        make = ApiOperation(
            "POST", "/links", self.make, control=True, status=201, tells_secret=True
        )
        return [make]

    async def make(self, request: web.Request, body: LinkQuestion) -> LinkView:
        """Makes a link that expires, to one camera's HLS, snapshot, live video or recordings."""
        part = watchable(body.path)
        if part is None:
            raise ProblemError(422, where="path", got=body.path, allowed=list(WATCHED))
        header = request.headers.get("Authorization", "")
        token = find_token(self._access.secrets.tokens, presented_token(header) or "")
        if token is None:
            raise ProblemError(409, "there is no token here: addresses need none")
        camera = camera_of(body.path)
        if camera not in self._streams:
            raise ProblemError(422, where="camera", got=camera, allowed=sorted(self._streams))
        until_s = int(time.time() + body.seconds)
        arrival = request[ARRIVAL]
        scheme, host = arrival.scheme or request.scheme, arrival.host or request.host
        root = f"{scheme}://{host}{arrival.prefix}{self._access.base_of(request.path)}"
        return LinkView(
            address=f"{root}{body.path}?{PARAMETER}={signed(token, part, until_s)}",
            expires=datetime.fromtimestamp(until_s, UTC),
        )
