"""What happens to cameras on their hosts, told on by the gateway as if it happened here."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from aiohttp import ClientError

from streamsr.core.events import Code, Event
from streamsr.fleet.gateway.fleet_view import FleetView
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.fleet.messages import HostAddress

__all__ = ["HostEvents", "event_of"]

PATH = "/api/v1/events"
ID, DATA = b"id: ", b"data: "
FROM_THE_FIRST = "another-0"  # the id of another run's event: all that are kept come first
LOOK_S = 1.0  # between looks which hosts there are, and after a host that ended its answer
SILENT_S = 40.0  # after which a host is asked again: it owes a word every 15 s


class HostEvents:
    """Follows every host. ``follow()`` it while its events are to be told."""

    def __init__(self, view: FleetView, client: HostClient, tell: Callable[[Event], None]) -> None:
        self._view = view
        self._client = client
        self._tell = tell

    async def follow(self) -> None:
        """Listens to the hosts there are, until it is cancelled.

        Of those that come later it tells all that has happened there so far.
        """
        listening: dict[HostAddress, asyncio.Task[None]] = {}
        last = ""
        try:
            while True:
                known = set(self._view.addresses.values())
                for address in listening.keys() - known:
                    listening.pop(address).cancel()
                for address in known - listening.keys():
                    listening[address] = asyncio.create_task(
                        self._listen(address, last), name=f"events of {address.host}"
                    )
                last = FROM_THE_FIRST
                await asyncio.sleep(LOOK_S)
        finally:
            for task in listening.values():
                task.cancel()

    async def _listen(self, address: HostAddress, last: str) -> None:
        """Listens on from the event of that id (HTML, 9.2.4), "" for from now on."""
        while True:
            with suppress(ClientError, TimeoutError):
                asked = {"Last-Event-ID": last} if last else {}
                async with self._client.request(address, "GET", PATH, headers=asked) as answer:
                    while True:
                        async with asyncio.timeout(SILENT_S):
                            line = await answer.content.readline()
                        if not line:
                            break
                        if line.startswith(ID):
                            last = line.removeprefix(ID).decode(errors="replace").strip()
                        self._hear(address, line)
            await asyncio.sleep(LOOK_S)

    def _hear(self, address: HostAddress, line: bytes) -> None:
        """Tells of what the host that has the camera says: another one is only ending it."""
        event = event_of(line.removeprefix(DATA)) if line.startswith(DATA) else None
        if event is not None and event.stream:
            placed = self._view.placed(event.stream)
            if placed is not None and placed.host in ("", address.host):
                self._tell(event)


def event_of(data: bytes) -> Event | None:
    """Returns an event from what the API tells of it; None for what is none that is known here."""
    try:
        said = json.loads(data)
        stream, _, part = said["subject"].partition("/")
        doing = said["doing"]
        message = said["message"].removesuffix(f"; {doing}" if doing else "")
        return Event(Code(said["code"]), stream, message, part, doing)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
