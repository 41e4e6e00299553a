"""One operation of the API: what it takes and gives, read off its handler's annotations.

A handler is an async method. Its parameters are, by name: those in braces in the path, ``query``
and ``body`` (settings classes), and ``request``. What it returns is the answer's type; its
docstring says what it does. The document (``openapi.py``) is made of the same annotations, so that
it cannot say anything else than what is checked here.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_type_hints

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from streamsr.core.config import Settings, parse
from streamsr.core.errors import StreamsrError
from streamsr.core.redact import json_value
from streamsr.serve.access.links import PARAMETER
from streamsr.serve.access.roles import require_control
from streamsr.serve.api.problems import BASE, ProblemError, explain
from streamsr.serve.http import read_text

__all__ = ["BODY_TYPES", "ApiOperation"]

BODY_S = 10.0  # for a body to arrive
BODY_TYPES: Mapping[str, tuple[str, ...]] = {  # by method; the first is the usual one
    "POST": ("application/json",),
    "PATCH": ("application/json", "application/merge-patch+json"),  # RFC 7396
}
IN_BRACES = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class ApiOperation:
    """One method of one path. ``control``: it takes a client of that role."""

    method: str
    path: str  # below /api/v1
    handler: Callable[..., Awaitable[object]]
    control: bool = False
    status: int = 200  # where it was carried out
    media: str = "application/json"  # of the answer
    tells_secret: bool = False  # that the one who asked is to have: the answer is not redacted
    others: Mapping[int, str] = field(default_factory=dict)  # answers that are no faults

    @property
    def name(self) -> str:
        """What the document calls it, uniquely."""
        words = [part for part in re.split(r"[/{}]+", self.path) if part]
        return "_".join([self.method.lower(), *words]).replace("-", "_").replace(".", "_")

    @cached_property
    def hints(self) -> dict[str, Any]:
        return get_type_hints(self.handler, include_extras=True)

    @property
    def in_path(self) -> list[str]:
        """The names of the parameters in the path."""
        return IN_BRACES.findall(self.path)

    @property
    def query(self) -> type[Settings] | None:
        return self.hints.get("query")

    @property
    def body(self) -> type[Settings] | None:
        return self.hints.get("body")

    @property
    def answer(self) -> Any:
        """The type of what is answered as JSON; None where it is none."""
        found = self.hints["return"]
        is_response = isinstance(found, type) and issubclass(found, web.StreamResponse)
        return None if is_response or found is type(None) else found

    def route(self) -> web.RouteDef:
        head = {"allow_head": True} if self.method == "GET" else {}
        return web.RouteDef(self.method, f"{BASE}{self.path}", self.handle, head)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Checks a request, has it carried out, and encodes what came of it."""
        if self.control:
            require_control(request)
        try:
            found = await self.handler(**await self._arguments(request))
        except (ProblemError, StreamsrError, TimeoutError) as error:
            return explain(error).answer()
        if isinstance(found, web.StreamResponse):
            return found
        if self.answer is None:
            return web.Response(status=self.status)
        value = self._encoder.dump_python(found, mode="json")
        headers = {}
        if self.status == 201 and "name" in value:
            headers["Location"] = f"{self.path.rpartition('/')[2]}/{value['name']}"
        shown = value if self.tells_secret else json_value(value)
        return web.json_response(shown, status=self.status, headers=headers)

    @cached_property
    def _encoder(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.answer)

    async def _arguments(self, request: web.Request) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            name: self._from_path(name, request.match_info[name]) for name in self.in_path
        }
        query = _query_of(request, self.query)
        if self.query is not None:
            arguments["query"] = query
        if self.body is not None:
            arguments["body"] = await _body_of(request, self.body)
        if "request" in self.hints:
            arguments["request"] = request
        return arguments

    def _from_path(self, name: str, text: str) -> object:
        try:
            return TypeAdapter(self.hints[name]).validate_python(text)
        except ValidationError:
            raise ProblemError(404, f"{name}: there is none of this name", where=name) from None


def _query_of(request: web.Request, kind: type[Settings] | None) -> Settings | None:
    """Checks what is in the query: numbers are text there."""
    given = {key: request.query.getall(key) for key in request.query if key != PARAMETER}
    allowed = sorted(kind.model_fields) if kind is not None else []
    for key, values in given.items():
        if key not in allowed:
            raise ProblemError(422, where="query", got=key, allowed=allowed)
        if len(values) > 1:
            raise ProblemError(422, where=f"query {key}", got=len(values), allowed="one value")
    if kind is None:
        return None
    try:
        return kind.model_validate({key: values[0] for key, values in given.items()}, strict=False)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = str(fault["loc"][0])
        raise ProblemError(
            422, where=f"query {key}", got=given[key][0], allowed=_rule(fault["msg"])
        ) from None


async def _body_of(request: web.Request, kind: type[Settings]) -> Settings:
    types = BODY_TYPES[request.method]
    if request.content_type not in types:
        raise ProblemError(
            415,
            where="Content-Type",
            got=request.headers.get("Content-Type", ""),
            allowed=list(types),
            headers={f"Accept-{request.method.title()}": ", ".join(types)},
        )
    text = await read_text(request, request.content_type, BODY_S)
    try:
        data = json.loads(text, parse_constant=_no_number)
        json.dumps(data, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, f"body: it is no JSON: {error}", where="body") from None
    if not isinstance(data, dict):
        raise ProblemError(422, where="body", got=type(data).__name__, allowed="an object")
    return parse(data, kind, "body")


def _no_number(name: str) -> None:
    raise ValueError(f"got {name}, allowed are numbers")


def _rule(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("allowed is ")
