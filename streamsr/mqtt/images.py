"""Images of cameras at an interval, for dashboards, and the space left where they record."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from streamsr.control.node_api import NodeApi
from streamsr.core.errors import StreamsrError
from streamsr.core.status import StreamState
from streamsr.core.waiting import in_thread
from streamsr.mqtt.node_snapshot import NodeSnapshot

__all__ = ["MAX_IMAGE_BYTES", "CameraImages", "FreeSpace"]

MAX_IMAGE_BYTES = 4 * 2**20  # of a JPEG: brokers drop a client that sends more than they take


class CameraImages:
    """Takes an image of every live camera, again and again, into the snapshot of the node."""

    def __init__(
        self, node: NodeApi, snapshot: NodeSnapshot, every_s: float, changed: Callable[[], None]
    ) -> None:
        """``changed`` is called once there are new ones."""
        self._node = node
        self._snapshot = snapshot
        self._every_s = every_s
        self._changed = changed

    async def run(self) -> None:
        """Takes images until cancelled; none where ``every_s`` is 0."""
        while self._every_s:
            cameras = self._snapshot.cameras.items()
            live = [n for n, camera in cameras if camera.status.state is StreamState.LIVE]
            await asyncio.gather(*(self._take(name) for name in live))
            self._changed()
            await asyncio.sleep(self._every_s)
        await asyncio.Event().wait()

    async def _take(self, camera: str) -> None:
        with suppress(StreamsrError, TimeoutError):  # the next one may come
            jpeg = await self._node.snapshot(camera)
            if len(jpeg) <= MAX_IMAGE_BYTES:
                self._snapshot.jpegs[camera] = jpeg


class FreeSpace:
    """The space left in folders, asked for in threads: a network's disk may never answer."""

    def __init__(self) -> None:
        self._bytes: dict[Path, int] = {}
        self._asking: set[Path] = set()

    def of(self, folder: Path | None) -> int | None:
        """Returns the bytes that were free last, None where nothing is known; asks again."""
        if folder is None:
            return None
        if folder not in self._asking:
            self._asking.add(folder)
            asking = in_thread(f"space in {folder.name}", lambda: self._ask(folder))
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._bytes.get(folder)

    def _ask(self, folder: Path) -> None:
        try:
            self._bytes[folder] = shutil.disk_usage(folder).free
        except OSError:  # it is not there any more
            self._bytes.pop(folder, None)
        finally:
            self._asking.discard(folder)
