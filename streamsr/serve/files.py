"""A file of a folder over HTTP, whole or a range of it, within a time."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

__all__ = ["TimedFile", "is_plain"]

STALLED_S = 120.0  # that a client takes nothing: players that were paused ask for the rest again


class TimedFile(web.FileResponse):
    """A file; a client that has not taken it all within ``within_s`` is cut off.

    So is one that takes nothing for long, where the system tells (Linux).
    """

    def __init__(self, path: Path, headers: Mapping[str, str], within_s: float) -> None:
        super().__init__(path, headers=headers)
        self._within_s = within_s

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        if request.transport is not None:
            _end_stalled(request.transport)
        try:
            async with asyncio.timeout(self._within_s):
                return await super().prepare(request)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError(f"not taken within {self._within_s:g} s") from None


def _end_stalled(transport: asyncio.BaseTransport) -> None:
    """Has the system end a connection whose peer takes nothing for so long (RFC 5482)."""
    found = transport.get_extra_info("socket")
    if found is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALLED_S * 1000))


def is_plain(path: Path) -> bool:
    """Whether it is a file of its folder, and no link out of it."""
    return path.is_file() and not path.is_symlink()
