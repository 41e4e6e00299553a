"""By what a request was let in, and whether that still counts: for what goes on for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from streamsr.serve.access.links import expiry_of
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token

__all__ = ["ADMISSION", "Admission"]

LOOK_S = 1.0  # between looks whether it still counts


@dataclass(frozen=True, slots=True)
class Admission:
    """A token, or the link to ``path``, or neither where none was needed."""

    secrets: Secrets
    token: Token | None = None
    link: str = ""
    path: str = ""

    def over(self) -> str | None:
        """Why it no longer lets in; None where it does."""
        tokens = self.secrets.tokens
        if self.token is not None:
            return None if self.token in tokens else "its token counts no more"
        if self.link:
            until_s = expiry_of(tokens, self.path, self.link)
            return None if until_s is not None and time.time() <= until_s else "its link is over"
        return "a token is needed now" if self.secrets.asked else None

    async def wait_over(self) -> str:
        """Waits until it no longer lets in; returns why."""
        while True:
            why = self.over()
            if why is not None:
                return why
            await asyncio.sleep(LOOK_S)

    @asynccontextmanager
    async def ending(self, end: Callable[[str], None]) -> AsyncIterator[None]:
        """While entered, calls ``end`` with the reason once it no longer lets in."""

        async def watch() -> None:
            end(await self.wait_over())

        watching = asyncio.create_task(watch(), name="admission")
        try:
            yield
        finally:
            watching.cancel()


ADMISSION: Final = web.RequestKey("admission", Admission)  # set before a request's handler runs
