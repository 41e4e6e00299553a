"""A node whose cameras are changed over the API while it runs, and what it keeps of that."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from peers.waiting import until

from streamsr.control.changes import CameraChange
from streamsr.core.config import load
from streamsr.core.deadline import Deadline
from streamsr.core.events import Code
from streamsr.core.events.journal import Journal, logged_journal
from streamsr.core.packet import Track
from streamsr.core.settings import NodeSettings
from streamsr.core.status import StreamState
from streamsr.ipc.broadcaster import EndOfStream
from streamsr.node.kept import open_edits
from streamsr.node.node import Node
from streamsr.node.reload import reload_on_change

FILE = """\
[serve]  # for the house
listen = "127.0.0.1:0"
edits = "EDITS"
state_folder = "FOLDER/state"

[[streams]]
name = "gate"
input = { url = "demo" }
model = { name = "bicubic", device = "cpu" }
output = { size = "320x180" }  # small
record = { folder = "FOLDER/recordings", enabled = false, min_free_gb = 0 }

[[streams]]
name = "yard"
input = { url = "demo" }
model = { name = "bicubic", device = "cpu" }
output = { size = "320x180" }
"""


class Api:
    """A client of a running node."""

    def __init__(self, node: Node, journal: Journal, url: str, http: aiohttp.ClientSession) -> None:
        self.node = node
        self.journal = journal
        self.url = f"{url}api/v1"
        self._http = http

    async def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        more = {"json": body} if body else {}
        async with self._http.request(method, f"{self.url}/{path}", **more) as response:
            text = await response.text()
            assert response.status == status, text
            return await response.json(content_type=None) if text else None

    async def live(self, camera: str, **wanted: object) -> None:
        def stands() -> bool:
            found = self.node.cameras().get(camera)
            return (
                found is not None
                and found.status.state is StreamState.LIVE
                and all(getattr(found.status, key) == value for key, value in wanted.items())
            )

        await until(stands, 30)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Api]:
    journal, urls = logged_journal(), list[str]()

    def read() -> NodeSettings:
        return load(path, NodeSettings)

    settings = read()
    node = Node(settings, journal, open_edits(settings, path, [], journal))
    run = asyncio.create_task(node.run(urls.append))
    reloading = asyncio.create_task(reload_on_change(node, read, path, look_s=0.02))
    try:
        async with aiohttp.ClientSession() as http:
            await until(lambda: urls and len(node.served) == len(node.settings.streams), 30)
            yield Api(node, journal, urls[0], http)
    finally:
        reloading.cancel()
        node.stop(Deadline.after())
        await run
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)


def written(folder: Path, edits: str) -> Path:
    path = folder / "home.toml"
    path.write_text(FILE.replace("EDITS", edits).replace("FOLDER", str(folder)))
    return path


@pytest.mark.parametrize("edits", ["state", "file"])
async def test_what_is_changed_holds_after_a_restart(tmp_path: Path, edits: str) -> None:
    path = written(tmp_path, edits)
    text = path.read_text()
    async with running(path) as api:
        new = {"name": "new", "url": "demo", "model": "bicubic", "size": "320x180"}
        more = {"model": {"device": "cpu"}}
        await api.ask("POST", "cameras", 201, **new, settings=more)
        await api.ask("PATCH", "cameras/gate", model="lanczos", size="160x90", recording=True)
        await api.ask("DELETE", "cameras/yard", 204)
        await asyncio.gather(
            api.live("new", output="320x180"),
            api.live("gate", output="160x90", model="lanczos"),
        )
        assert api.node.cameras().keys() == {"gate", "new"}
        await until(lambda: list((tmp_path / "recordings").glob("gate-*.mp4")))
        shown = await api.ask("GET", "cameras/gate/recordings")
        assert shown["recordings"][0]["open"]
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: api.journal.counts.get(Code.CONFIG_RELOADED), 10)
        assert api.node.cameras().keys() == {"gate", "new"}, "a reload leaves edits as they are"
        assert Code.CONFIG_REFUSED not in api.journal.counts
    async with running(path) as api:
        await asyncio.gather(api.live("new"), api.live("gate", output="160x90", model="lanczos"))
        assert api.node.cameras()["gate"].recording
        assert api.node.cameras().keys() == {"gate", "new"}
    if edits == "state":
        assert path.read_text() == text
    else:
        assert all(comment in path.read_text() for comment in ("# for the house", "# small"))


async def test_who_watches_stays_when_only_the_session_has_to_be_another(tmp_path: Path) -> None:
    async with running(written(tmp_path, "forget")) as api:
        await api.live("gate")
        broadcaster = api.node.served["gate"].broadcaster
        subscription = broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        await api.ask("PATCH", "cameras/gate", model="lanczos")  # of the same scale
        await api.live("gate", model="lanczos")
        assert api.node.cameras()["gate"].status.output == "320x180"
        await api.ask("PATCH", "cameras/gate", size="160x90", settings={"encoder": {"crf": 30}})
        await api.live("gate", output="160x90")
        await api.ask("PATCH", "cameras/gate", enabled=False)
        assert api.node.cameras()["gate"].status.state is StreamState.DISABLED
        await api.ask("PATCH", "cameras/gate", enabled=True)
        await api.live("gate")
        assert api.node.served["gate"].broadcaster is broadcaster
        while subscription.queued:
            await subscription.receive()
        await subscription.receive()  # it goes on
        await api.ask("PATCH", "cameras/gate", settings={"hls": {}})  # an output: it begins again
        await api.live("gate")
        while subscription.queued:
            await subscription.receive()
        with pytest.raises(EndOfStream):
            await subscription.receive()


async def test_a_check_a_small_snapshot_and_events(tmp_path: Path) -> None:
    path = written(tmp_path, "forget")
    path.write_text(path.read_text().replace('"bicubic"', '"fast-small"', 1))
    async with running(path) as api:
        await api.live("gate")
        found = await api.ask("POST", "cameras/gate/self-check")
        assert sum(found["checks"].values()) >= 1
        async with aiohttp.request("GET", f"{api.url}/cameras/gate/snapshot?width=100") as response:
            jpeg = await response.read()
        start = jpeg.index(b"\xff\xc0")  # its frame header: height and width (ITU-T T.81, B.2.2)
        assert int.from_bytes(jpeg[start + 7 : start + 9]) == 100
        assert (await api.ask("GET", "node"))["live"] >= 1
        problem = await api.ask("POST", "cameras/yard/self-check", 409)
        assert "bicubic is no network" in problem["detail"] or "starting" in problem["detail"]


async def test_recording_can_be_stopped_whatever_has_become_of_its_folder(tmp_path: Path) -> None:
    async with running(written(tmp_path, "forget")) as api:
        await api.live("gate")
        await api.ask("PATCH", "cameras/gate", recording=True)
        (tmp_path / "recordings").rename(tmp_path / "elsewhere")
        (tmp_path / "recordings").write_text("no folder")
        await api.ask("PATCH", "cameras/gate", 409, recording=False, size="160x90")
        found = await api.ask("PATCH", "cameras/gate", recording=False)
        assert found["recording"] is False


async def test_what_cannot_be_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "file")
    text = path.read_text()
    async with running(path) as api:
        await api.ask("PATCH", "cameras/gate", 409, settings={"encoder": {"codec": "hevc"}})
        await api.ask("POST", "cameras", 409, name="gate", url="demo")
        path.write_text(text.replace("[[streams]]", "[[stream]]"))
        await api.ask("PATCH", "cameras/gate", 409, size="160x90")
        assert "[[stream]]" in path.read_text()
        assert api.node.cameras()["gate"].enabled
        path.write_text(text)
        await until(lambda: api.journal.counts.get(Code.CONFIG_RELOADED), 10)
        await api.ask("DELETE", "cameras/yard", 204)
        problem = await api.ask("DELETE", "cameras/gate", 409)
        assert "last one" in problem["detail"]


async def test_a_change_that_nobody_waits_for_is_made_to_its_end(tmp_path: Path) -> None:
    async with running(written(tmp_path, "state")) as api:
        await api.live("gate")
        watching = api.node.served["gate"].broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        change = asyncio.create_task(
            api.node.change("gate", CameraChange.model_validate({"settings": {"hls": {}}}))
        )
        with suppress(EndOfStream):
            while True:
                await watching.receive()
        assert "gate" not in api.node.served, "it is about to begin again, within milliseconds"
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
        await api.live("gate")
        assert api.node.served["gate"].hls is not None


async def test_hls_goes_on_where_its_camera_begins_again(tmp_path: Path) -> None:
    path = written(tmp_path, "state")
    path.write_text(path.read_text().replace('name = "yard"', 'name = "yard"\nhls.segment_s = 1'))
    async with running(path) as api:
        await api.live("yard")
        url = api.url.replace("api/v1", "hls/yard/index.m3u8")
        texts = [await playlist(url)]
        changing = api.ask("PATCH", "cameras/yard", settings={"hls": {"segments": 8}})
        changed = asyncio.create_task(changing)
        async with asyncio.timeout(30):
            while "#EXT-X-DISCONTINUITY\n" not in texts[-1]:
                texts.append(await playlist(url))
                await asyncio.sleep(0.05)
        await changed
    assert not [text for text in texts if "#EXT-X-ENDLIST" in text]


async def playlist(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.text()
