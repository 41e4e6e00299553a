"""What all HTTP handlers share: bounded bodies, common headers, errors as one line of text."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from streamsr.core.redact import redact
from streamsr.serve.access.origins import Origins

__all__ = ["BODY_BYTES", "CommonHeaders", "guarded", "hide_faults", "protocol_log", "read_text"]

BODY_BYTES = 128 * 1024

HEADERS = {
    "Server": "streamsr",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

log = logging.getLogger(__name__)

Requested = Callable[[Any], Awaitable[web.StreamResponse]]


class CommonHeaders:
    """The headers that all responses have."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    async def add(self, request: web.Request, response: web.StreamResponse) -> None:
        """Signal handler: runs before the headers of any response are sent."""
        response.headers.update(HEADERS | self._origins.answer(request.method, request.headers))
        response.headers.setdefault("Cache-Control", "no-store")


def protocol_log() -> logging.Logger:
    """The log that aiohttp writes, without the requests it cannot parse.

    It would log each with a traceback and the line at fault, in which there may be a secret.
    """
    found = logging.getLogger(f"{__name__}.protocol")
    found.addFilter(_is_our_fault)
    return found


def _is_our_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def guarded(handler: Requested) -> Requested:
    """Returns a server's handler that answers what aiohttp fails at before any middleware runs."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except UnicodeError:  # an Expect of other bytes, which it repeats
            return web.Response(status=417, text="the header Expect is no text")

    return answer


@web.middleware
async def hide_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers for a handler that fails: whatever went wrong, the client learns that it did."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise  # short plain text already
    except Exception:
        # The outermost place. The path may hold a session's secret and stays out of the log.
        log.error("a %s request failed: %s", request.method, redact(traceback.format_exc()))
        return web.Response(status=500, text="internal error")


async def read_text(request: web.Request, content_type: str, within_s: float) -> str:
    """Reads a small body of this type.

    Raises HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, HTTPRequestTimeout or
    HTTPBadRequest.
    """
    if request.content_type != content_type:
        raise web.HTTPUnsupportedMediaType(text=f"the body must be {content_type}")
    try:
        async with asyncio.timeout(within_s):
            return (await request.read()).decode()
    except web.HTTPRequestEntityTooLarge:
        text = f"the body is over {BODY_BYTES} bytes"
        raise web.HTTPRequestEntityTooLarge(BODY_BYTES, BODY_BYTES + 1, text=text) from None
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"no whole body within {within_s:g} s") from None
    except (ConnectionError, web.RequestPayloadError):
        raise web.HTTPBadRequest(text="the body broke off") from None
    except UnicodeDecodeError:
        raise web.HTTPBadRequest(text="the body is not UTF-8") from None
