"""Events as server-sent events (HTML, 9.2): the newest are kept for those who come back."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from aiohttp import web

from streamsr.core.events import Event
from streamsr.core.redact import json_value
from streamsr.core.waiting import first_of, wait_set
from streamsr.serve.access.admission import ADMISSION
from streamsr.serve.access.origins import OWN_SITE
from streamsr.serve.access.shares import Shares, asking
from streamsr.serve.api.operations import ApiOperation
from streamsr.serve.api.problems import ProblemError

__all__ = ["EventFeed"]

KEPT = 300  # events for clients that come back
MOST_CLIENTS = 32
BEAT_S = 15.0  # after which a client that was told nothing hears that it is connected
LOOKS = 15  # in that time, whether the client has left
TAKE_S = 30.0  # for a client to take what it is sent
RETRY_MS = 3000  # after which a client that lost its connection should be back
KIND = "text/event-stream"


@dataclass(frozen=True, slots=True)
class _Kept:
    number: int  # from 1
    text: str  # as a client gets it


class EventFeed:
    """Hands events on to clients. No client has a queue of its own: each reads what is kept."""

    def __init__(
        self, *, kept: int = KEPT, beat_s: float = BEAT_S, most_clients: int = MOST_CLIENTS
    ) -> None:
        self._kept: deque[_Kept] = deque(maxlen=kept)
        self._numbers = count(1)
        self._newest = 0
        self._run = f"{time.time_ns():x}"  # tells the events of this run from an earlier one's
        self._beat_s = beat_s
        self._shares = Shares(most_clients)
        self._loop: asyncio.AbstractEventLoop | None = None  # once there is a client
        self._clients: dict[int, asyncio.Event] = {}  # that are to look again
        self._closed = False

    def operations(self) -> Sequence[ApiOperation]:
        return [ApiOperation("GET", "/events", self.stream, media=KIND)]

    def event(self, event: Event) -> None:
        """Takes an event. Any thread may call it."""
        number = next(self._numbers)
        data = json.dumps(json_value(event.as_json(datetime.now(UTC))))
        self._kept.append(_Kept(number, f"id: {self._run}-{number}\ndata: {data}\n\n"))
        self._newest = number
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Ends all streams."""
        self._closed = True
        self._wake()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Sends events as they happen; Last-Event-ID: those since that one first, if kept."""
        headers, client = request.headers, asking(request)
        site = headers.get("Sec-Fetch-Site")
        if site not in OWN_SITE and "Origin" not in headers:  # as of an <img> of another page
            raise ProblemError(403, where="Sec-Fetch-Site", got=site, allowed="this server's pages")
        if self._shares.full(client):
            allowed = self._shares.allowed(client)
            raise ProblemError(
                429,
                where="streams of events",
                got=allowed + 1,
                allowed=allowed,
                headers={"Retry-After": str(RETRY_MS // 1000)},
            )
        response = web.StreamResponse(headers={"Content-Type": KIND, "X-Accel-Buffering": "no"})
        if request.method == "HEAD":
            return response
        self._loop = asyncio.get_running_loop()
        last = self._number_of(request.headers.get("Last-Event-ID", ""))
        key, changed = id(response), asyncio.Event()
        self._clients[key] = changed
        try:
            with self._shares.hold(client):
                await response.prepare(request)
                await first_of(
                    self._feed(response.write, changed, last, lambda: request.transport is None),
                    request[ADMISSION].wait_over(),
                    name="events to a client",
                )
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            del self._clients[key]
        return response

    async def _feed(
        self,
        write: Callable[[bytes], Awaitable[None]],
        changed: asyncio.Event,
        last: int,
        gone: Callable[[], bool],
    ) -> None:
        """Sends what comes after the event ``last``, until it is closed or the client gone."""
        looks = 0  # without anything to tell
        await _taken(write, f"retry: {RETRY_MS}\n\n")
        while not (self._closed or gone()):
            changed.clear()
            waiting = [kept for kept in self._kept if kept.number > last]
            if waiting:
                missed = waiting[0].number - last - 1
                note = f": {missed} earlier ones are no longer kept\n\n" if missed else ""
                await _taken(write, note + "".join(kept.text for kept in waiting))
                last, looks = waiting[-1].number, 0
            elif not await wait_set(changed, self._beat_s / LOOKS):
                looks += 1
                if looks == LOOKS:
                    looks = 0
                    await _taken(write, ": still here\n\n")

    def _number_of(self, last: str) -> int:
        """After which event a client goes on: all that are kept, where it had another run's."""
        if not last:
            return self._newest
        run, _, number = last.partition("-")
        known = run == self._run and number.isascii() and number.isdecimal()
        return min(int(number[:18]), self._newest) if known else 0

    def _wake(self) -> None:
        for changed in self._clients.values():
            changed.set()


async def _taken(write: Callable[[bytes], Awaitable[None]], text: str) -> None:
    async with asyncio.timeout(TAKE_S):
        await write(text.encode())
