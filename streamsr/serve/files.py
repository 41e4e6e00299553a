"""A file of a folder over HTTP, whole or a range of it, within a time."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

__all__ = ["TimedFile", "is_plain"]


class TimedFile(web.FileResponse):
    """A file; a client that has not taken it all within ``within_s`` is cut off."""

    def __init__(self, path: Path, headers: Mapping[str, str], within_s: float) -> None:
        super().__init__(path, headers=headers)
        self._within_s = within_s

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        try:
            async with asyncio.timeout(self._within_s):
                return await super().prepare(request)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError(f"not taken within {self._within_s:g} s") from None


def is_plain(path: Path) -> bool:
    """Whether it is a file of its folder, and no link out of it."""
    return path.is_file() and not path.is_symlink()
