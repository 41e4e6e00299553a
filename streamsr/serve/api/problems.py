"""Errors of the API as RFC 9457 has them: what was got, what is allowed and where, as JSON."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from streamsr.core.config import Settings
from streamsr.core.errors import ConfigError, StreamsrError, UserError
from streamsr.core.redact import json_value

__all__ = ["BASE", "PROBLEM_TYPE", "Problem", "ProblemError", "explain", "problem_answers"]

BASE = "/api/v1"
PROBLEM_TYPE = "application/problem+json"
RETRY_S = 2  # after which a client should ask again for what there is none of now
SHOWN = 80  # characters of what was got
OF_THE_BODY = ("Content-Type", "Content-Length")


class Problem(Settings):
    """Why a request was not carried out (RFC 9457)."""

    type: str = "about:blank"
    title: str  # the status in words
    status: int
    detail: str  # one sentence for people
    where: str | None = None  # the part of the request that is at fault
    got: Any = None
    allowed: Any = None
    errors: tuple[str, ...] | None = None  # one a fault, where there are several


class ProblemError(Exception):
    """Ends a request with a problem; ``headers`` go with the answer."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        where: str | None = None,
        got: object = None,
        allowed: object = None,
        errors: tuple[str, ...] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(got, str) and len(got) > SHOWN:
            got = f"{got[:SHOWN]}… ({len(got)} characters)"
        if not detail:
            detail = f"{where}: got {got!r}, allowed is {_listed(allowed)}"
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.problem = Problem(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            where=where,
            got=got,
            allowed=allowed,
            errors=errors,
        )

    def answer(self) -> web.Response:
        """Returns the response: of the members that RFC 9457 lets be left out, those there are."""
        members = self.problem.model_dump(mode="json", exclude_none=True)
        body = json.dumps(json_value(members))
        headers = self.headers
        return web.Response(
            status=self.status, text=body, content_type=PROBLEM_TYPE, headers=headers
        )


def explain(error: Exception) -> ProblemError:
    """Returns the problem that an error of ours is."""
    match error:
        case ProblemError():
            return error
        case ConfigError():  # of settings: one line a fault
            lines = tuple(str(error).splitlines())
            return ProblemError(422, lines[0], errors=lines if len(lines) > 1 else None)
        case UserError():
            return ProblemError(409, str(error))
        case StreamsrError() | TimeoutError():
            detail = str(error) or "it took too long"
            return ProblemError(409, detail, headers={"Retry-After": str(RETRY_S)})
    raise error


@web.middleware
async def problem_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Makes problems of what any other part of the server answers about the API in plain text."""
    if f"{BASE}/" not in request.path:  # it may be below another path
        return await handler(request)
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        headers = CIMultiDict((k, v) for k, v in error.headers.items() if k not in OF_THE_BODY)
        found = ProblemError(error.status, error.text or error.reason).answer()
        found.headers.extend(headers)
        return found
    if answer.status == 500 and isinstance(answer, web.Response):
        return ProblemError(500, answer.text or "").answer()
    return answer


def _listed(allowed: object) -> str:
    if isinstance(allowed, list | tuple):
        return ", ".join(str(item) for item in allowed) or "none"
    return str(allowed)
