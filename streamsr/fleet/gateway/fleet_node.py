"""A fleet as what the web server shows and MQTT steers: as if it were one node.

What is commanded changes what the fleet is to run, so that it holds wherever a camera goes; what is
shown is what the camera's host shows.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import ClientError
from pydantic import TypeAdapter, ValidationError

from streamsr.control.changes import CameraChange, NewCamera, Surroundings, changed, made
from streamsr.control.node_api import CameraState, NodeStatus
from streamsr.core.config import FILLED_IN, parse
from streamsr.core.errors import StreamsrError, UserError, nearest
from streamsr.core.events.event import iso
from streamsr.core.settings import StreamSettings
from streamsr.core.status import OutputStatus, StreamState, StreamStatus
from streamsr.core.version import version_of_streamsr
from streamsr.fleet.gateway.fleet_view import FleetView
from streamsr.fleet.gateway.host_client import HostClient
from streamsr.fleet.messages import HostAddress, WantedCamera
from streamsr.fleet.wanted import StaleError
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.serve.served import Served

__all__ = ["FleetNode"]

FOUND_S = 3.0  # for the host of a camera that is on its way
T = TypeVar("T")

STATUS, STATUS_NAMES = TypeAdapter(StreamStatus), {f.name for f in fields(StreamStatus)}
OUTPUT, OUTPUT_NAMES = TypeAdapter(OutputStatus), {f.name for f in fields(OutputStatus)}


class FleetNode:
    """The fleet by the interface of a node (:class:`~streamsr.control.node_api.NodeApi`)."""

    def __init__(self, name: str, view: FleetView, client: HostClient) -> None:
        self._name = name
        self._view = view
        self._client = client
        self._since = iso(datetime.now(UTC))
        self._changing = asyncio.Lock()  # one change of what is wanted after another
        self._parsed: dict[str, tuple[WantedCamera, StreamSettings]] = {}
        self.served = _Served(self, view)

    def status(self) -> NodeStatus:
        states = [state.status.state for state in self.cameras().values()]
        lost = [host.name for host in self._view.status.hosts if host.state == "lost"]
        reason = f"hosts that are lost: {', '.join(lost)}" if lost else ""
        if not self._view.answers:
            reason = "the fleet's controller does not answer"
        return NodeStatus(
            name=self._name,
            version=version_of_streamsr(),
            since=self._since,
            cameras=len(states),
            live=states.count(StreamState.LIVE),
            edits="state",  # of the controller
            reason=reason,
            doing="what ran there runs elsewhere" if lost else "",
        )

    def cameras(self) -> Mapping[str, CameraState]:
        return {name: self.state_of(name) for name in self._view.cameras}

    def models(self) -> Sequence[str]:
        return self._view.models

    def settings_of(self, camera: str) -> StreamSettings:
        """Raises UserError where there is no such camera."""
        wanted = self._view.cameras.get(camera)
        if wanted is None:
            hint = nearest(camera, self._view.cameras)
            raise UserError(f"camera: got {camera!r}, which the fleet does not have{hint}")
        if camera not in self._parsed or self._parsed[camera][0] is not wanted:
            self._parsed[camera] = wanted, _settings(wanted)
        return self._parsed[camera][1]

    def state_of(self, camera: str) -> CameraState:
        """A camera as its host shows it, or why no host has it."""
        settings, shown = self.settings_of(camera), self._view.shown(camera)
        recording = settings.record.enabled if settings.record is not None else None
        status = _known(STATUS, STATUS_NAMES, shown["status"]) if shown is not None else None
        return CameraState(
            status=status or self._placed(camera),
            enabled=settings.enabled,
            recording=recording if shown is None else shown.get("recording", recording),
            outputs={output.name: output for output in self.outputs_of(camera)},
            folder=settings.record.folder if settings.record is not None else None,
            size=settings.output.size or "",
        )

    def outputs_of(self, camera: str) -> Sequence[OutputStatus]:
        """A camera's outputs as its host shows them; none where no host has it."""
        shown = self._view.shown(camera)
        found = (_known(OUTPUT, OUTPUT_NAMES, data) for data in (shown or {}).get("outputs", ()))
        return [output for output in found if output is not None]

    async def enable(self, camera: str, on: bool) -> None:
        await self.change(camera, CameraChange(enabled=on))

    async def use_model(self, camera: str, model: str) -> None:
        await self.change(camera, CameraChange(model=model))

    async def size(self, camera: str, size: str) -> None:
        await self.change(camera, parse({"size": size or None}, CameraChange, f"size of {camera}"))

    async def record(self, camera: str, on: bool) -> None:
        if self.settings_of(camera).record is None:
            raise UserError(f"record: {camera} has no group 'record' in its settings")
        await self.change(camera, CameraChange(recording=on))

    async def snapshot(self, camera: str, width: int = 0) -> bytes:
        path = f"/api/v1/cameras/{camera}/snapshot?width={width}"
        return await self._ask(camera, partial(self._client.command, method="GET", path=path))

    async def self_check(self, camera: str) -> None:
        path = f"/api/v1/cameras/{camera}/self-check"
        await self._ask(camera, partial(self._client.command, method="POST", path=path))

    async def add(self, asked: NewCamera) -> None:
        def added() -> list[WantedCamera]:
            if asked.name in self._view.cameras:
                raise UserError(f"name: got {asked.name!r}, which is another camera's")
            settings = made(asked, self._surroundings())
            return [*self._view.wanted.cameras, WantedCamera(asked.name, _data(settings))]

        await self._want(added)

    async def change(self, camera: str, asked: CameraChange) -> None:
        def changes() -> list[WantedCamera]:
            before = self.settings_of(camera)
            after = _data(changed(before, asked, self._surroundings()))
            return [
                replace(wanted, settings=after) if wanted.name == camera else wanted
                for wanted in self._view.wanted.cameras
            ]

        await self._want(changes)

    async def remove(self, camera: str) -> None:
        def left() -> list[WantedCamera]:
            self.settings_of(camera)
            others = [c for c in self._view.wanted.cameras if c.name != camera]
            if not others:
                raise UserError(f"camera: {camera} is the last one, and a fleet has one at least")
            return others

        await self._want(left)

    async def _want(self, cameras: Callable[[], list[WantedCamera]]) -> None:
        """Has the fleet run these, made again where somebody else has changed them meanwhile."""
        async with self._changing:
            for last in (False, False, True):
                await self._view.refresh()
                wanted = replace(self._view.wanted, cameras=tuple(cameras()))
                try:
                    await self._view.change(wanted)
                    break
                except StaleError:
                    if last:
                        raise
                except StreamsrError:
                    raise
                except Exception as error:  # of whatever the link is made of
                    raise StreamsrError("the fleet's controller does not answer") from error

    async def _ask(self, camera: str, ask: Callable[..., Any]) -> bytes:
        """Asks the host that has a camera. Raises StreamsrError where none does."""
        host: HostAddress | None = await self._view.await_host(camera, FOUND_S)
        if host is None:
            raise StreamsrError(f"{camera} is on no host at the moment")
        try:
            answer: bytes = await ask(host)
        except ClientError:
            raise StreamsrError(f"{host.host}, which has {camera}, does not answer") from None
        return answer

    def _placed(self, camera: str) -> StreamStatus:
        """The status of a camera that no host shows."""
        placed = self._view.placed(camera)
        waits = placed is None or placed.state == "waiting"
        return StreamStatus(
            name=camera,
            state=StreamState.DOWN if waits else StreamState.STARTING,
            model="",
            device="",
            input="",
            output="",
            reason=placed.reason if placed is not None else "it has not been placed yet",
            doing="it runs as soon as there is room" if waits else "it starts on another host",
        )

    def _surroundings(self) -> Surroundings:
        records = [self.settings_of(camera).record for camera in self._view.cameras]
        folders = {record.folder.absolute() for record in records if record is not None}
        return Surroundings(self._view.models, frozenset(folders))


class _Served(Mapping[str, Served]):
    """What the web server shows of each camera; what is watched is asked of hosts instead."""

    def __init__(self, node: FleetNode, view: FleetView) -> None:
        self._node = node
        self._view = view
        self._made: dict[str, Served] = {}  # a camera's is one object: snapshots are shared by it

    def __getitem__(self, camera: str) -> Served:
        if camera not in self._view.cameras:
            raise KeyError(camera)
        settings = self._node.settings_of(camera)
        folder = settings.record.folder if settings.record is not None else None
        return self._of(camera, settings, folder)

    def __iter__(self) -> Iterator[str]:
        return iter(self._view.cameras)

    def __len__(self) -> int:
        return len(self._view.cameras)

    def _of(self, camera: str, settings: StreamSettings, folder: Path | None) -> Served:
        known = self._made.get(camera)
        if known is None or (known.hls, known.recordings) != (settings.hls, folder):
            node = self._node
            known = self._made[camera] = Served(
                Broadcaster(lambda tracks: None),
                lambda: node.state_of(camera).status,
                partial(node.snapshot, camera),
                hls=settings.hls,
                recordings=folder,
                outputs=lambda: node.outputs_of(camera),
                recording=lambda: bool(node.state_of(camera).recording),
            )
        return known


def _settings(camera: WantedCamera) -> StreamSettings:
    return parse(dict(camera.settings), StreamSettings, f"camera {camera.name}", FILLED_IN)


def _data(settings: StreamSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_none=True)


def _known(kind: TypeAdapter[T], names: Set[str], data: Mapping[str, Any]) -> T | None:
    """What a host of any version says, as far as it is known; None where that is too little."""
    try:
        return kind.validate_python({key: data[key] for key in data.keys() & names})
    except ValidationError:
        return None
