"""Server-sent events: told as they happen, and again to those who come back; bounded."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from broadcast import Broadcast
from peers.waiting import until

from streamsr.core.deadline import Deadline
from streamsr.core.events import Code, Event
from streamsr.serve.access.shares import Shares
from streamsr.serve.api.events import EventFeed
from streamsr.serve.app import Server


def happened(message: str) -> Event:
    return Event(Code.SRC_DOWN, "gate", message)


class Reader:
    """Reads a stream of events as a browser does: fields, comments, and empty lines between."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.comments: list[str] = []

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The id and the data of the next event."""
        last, data = "", ""
        async with asyncio.timeout(5):
            while line := (await self._response.content.readline()).decode().rstrip("\n"):
                field, _, value = line.partition(": ")
                last, data = (value if field == "id" else last), value if field == "data" else data
                self.comments += [value] if not field else []
        return (last, json.loads(data)) if data else await self.next()


@asynccontextmanager
async def reading(
    http: aiohttp.ClientSession, server: Server, last: str | None = None
) -> AsyncIterator[Reader]:
    headers = {"Last-Event-ID": last} if last is not None else {}
    async with http.get(f"{server.url}api/v1/events", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert await response.content.readline() == b"retry: 3000\n"
        yield Reader(response)


async def test_events_are_told_as_they_happen_to_everyone(http: aiohttp.ClientSession) -> None:
    async with Server({"gate": Broadcast().served}) as server:
        server.feed.event(happened("before they came"))
        async with reading(http, server) as one, reading(http, server) as other:
            await asyncio.to_thread(server.feed.event, happened("rtsp://u:secretword@10.0.0.1/x"))
            for reader in (one, other):
                _, data = await reader.next()
                assert (data["code"], data["subject"]) == ("SRC_DOWN", "gate")
                assert "secretword" not in str(data)
                assert data["time"].endswith("Z")


async def test_who_comes_back_gets_what_it_missed(http: aiohttp.ClientSession) -> None:
    async with Server({"gate": Broadcast().served}) as server:
        async with reading(http, server) as reader:
            server.feed.event(happened("first"))
            last, _ = await reader.next()
        server.feed.event(happened("second"))
        server.feed.event(happened("third"))
        async with reading(http, server, last) as reader:
            messages = [(await reader.next())[1]["message"] for _ in range(2)]
            assert messages == ["second", "third"]
        for stranger in ("of-another-run", "", "0-0", f"{last}9" * 40, "\u00e9"):
            async with reading(http, server, stranger.encode("latin-1").decode("latin-1")):
                pass


async def test_of_what_is_no_longer_kept_the_number_is_told() -> None:
    feed, sent = EventFeed(kept=3), list[bytes]()

    async def write(data: bytes) -> None:
        sent.append(data)

    for number in range(10):
        feed.event(happened(f"number {number}"))
    feeding = asyncio.create_task(feed._feed(write, asyncio.Event(), 2, lambda: False))
    await until(lambda: len(sent) == 2)
    feeding.cancel()
    text = sent[1].decode()
    assert text.startswith(": 5 earlier ones are no longer kept\n\n")
    assert [f"number {n}" in text for n in range(10)] == [False] * 7 + [True] * 3


async def test_a_client_that_is_told_nothing_hears_a_heartbeat(
    http: aiohttp.ClientSession,
) -> None:
    async with Server({"gate": Broadcast().served}) as server:
        server.feed._beat_s = 0.05
        async with reading(http, server) as reader:
            asyncio.get_running_loop().call_later(0.3, server.feed.event, happened("at last"))
            await reader.next()
            assert reader.comments[:2] == ["still here"] * 2


async def test_clients_are_bounded_and_leave_nothing(http: aiohttp.ClientSession) -> None:
    async with Server({"gate": Broadcast().served}) as server:
        server.feed._shares = Shares(2)
        url = f"{server.url}api/v1/events"
        async with reading(http, server), reading(http, server), http.get(url) as refused:
            assert refused.status == 429
            assert int(refused.headers["Retry-After"]) > 0
        await until(lambda: not server.feed._clients)
        async with http.head(url) as response:
            assert response.status == 200


async def test_a_stop_ends_them_at_once(http: aiohttp.ClientSession) -> None:
    loop = asyncio.get_running_loop()
    async with Server({"gate": Broadcast().served}) as server, reading(http, server) as reader:
        began_s = loop.time()
        await server.close(Deadline.after(4))
        assert loop.time() - began_s < 1
        assert await reader._response.content.read() == b"\n"
