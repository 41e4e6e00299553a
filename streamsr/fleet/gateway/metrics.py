"""Metrics of all hosts as one, each sample with the label ``host``, and the fleet's own."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping

from aiohttp import ClientError, web
from aiohttp.typedefs import Handler

from streamsr.fleet.gateway.fleet_view import FleetView
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.fleet.messages import FleetStatus, HostAddress
from streamsr.serve.access.access import Access

__all__ = ["FleetMetrics", "federated", "of_fleet"]

ROUTE = "/metrics"
TYPE = "text/plain; version=0.0.4; charset=utf-8"
ANSWER_S = 3.0  # for a host
HEAD = re.compile(r"# (?:HELP|TYPE) (?P<family>[a-zA-Z_:][a-zA-Z0-9_:]*) ")
SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?P<labels>\{)?")
FLEET = (  # name, text, of hosts
    ("streamsr_fleet_host_up", "1 while the host reports."),
    ("streamsr_fleet_host_capacity_ms", "CPU time a second that the host has."),
    ("streamsr_fleet_host_load_ms", "CPU time a second that the host takes."),
    ("streamsr_fleet_host_cameras", "Cameras that the host has."),
)


class FleetMetrics:
    """A middleware that answers /metrics for the fleet."""

    def __init__(self, view: FleetView, client: HostClient, access: Access) -> None:
        self._view = view
        self._client = client
        self._access = access

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._access.below_base(request.path) != ROUTE:
            return await handler(request)
        hosts = self._view.addresses.values()
        texts = await asyncio.gather(*(self._scrape(host) for host in hosts))
        found = {host.host: text for host, text in zip(hosts, texts, strict=True) if text}
        body = "".join((*of_fleet(self._view.status), *federated(found)))
        return web.Response(body=body.encode(), headers={"Content-Type": TYPE})

    async def _scrape(self, host: HostAddress) -> str:
        """A host's metrics; nothing of one that does not answer, which ``host_up`` says."""
        try:
            async with asyncio.timeout(ANSWER_S):
                asking = self._client.request(host, "GET", ROUTE, headers={"Accept": "text/plain"})
                async with asking as answer:
                    return (await answer.read()).decode() if answer.status == 200 else ""
        except (ClientError, TimeoutError):
            return ""


def federated(texts: Mapping[str, str]) -> Iterator[str]:
    """Yields the lines of one page of metrics, of pages by host: families stay in one piece."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for host, text in texts.items():
        family, begun = "", set(heads)
        for line in text.splitlines(keepends=True):
            head = HEAD.match(line)
            if head is not None:
                family = head["family"]
                if family not in begun:
                    heads.setdefault(family, []).append(line)
            elif line.strip() and not line.startswith("#"):
                samples.setdefault(family, []).append(_labelled(line, host))
    for family, lines in samples.items():
        yield from (*heads.get(family, ()), *lines)


def of_fleet(status: FleetStatus) -> Iterator[str]:
    """Yields the lines of the fleet's own metrics."""
    values = [
        (host.name, (host.state != "lost", host.capacity, host.load, host.cameras))
        for host in status.hosts
    ]
    for n, (name, text) in enumerate(FLEET):
        yield from _gauge(name, text)
        yield from (f'{name}{{host="{_quoted(h)}"}} {float(of[n])}\n' for h, of in values)
    yield from _gauge("streamsr_fleet_camera_placed", "1 while a host has the camera.")
    for camera in status.cameras:
        labels = f'host="{_quoted(camera.host)}",stream="{camera.name}",rung="{camera.rung}"'
        yield f"streamsr_fleet_camera_placed{{{labels}}} {float(bool(camera.host))}\n"


def _gauge(name: str, text: str) -> Iterable[str]:
    return f"# HELP {name} {text}\n", f"# TYPE {name} gauge\n"


def _labelled(line: str, host: str) -> str:
    found = SAMPLE.match(line)
    if found is None:
        return line
    rest, label = line[found.end() :], f'host="{_quoted(host)}"'
    if found["labels"] is None:
        return f"{found['name']}{{{label}}}{rest}"
    return f"{found['name']}{{{label}{'' if rest.startswith('}') else ','}{rest}"


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
