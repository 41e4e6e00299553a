"""Many real cameras in one worker: what happens to one of them, no other one notices."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import av
import pytest
from peers import RtspCamera, read_number
from peers.waiting import until

from streamsr.core.config import dump
from streamsr.core.deadline import Deadline
from streamsr.core.errors import UserError
from streamsr.core.events import Code
from streamsr.core.events.journal import Journal, logged_journal
from streamsr.core.packet import Track
from streamsr.core.settings import NodeSettings
from streamsr.core.status import StreamState
from streamsr.ipc.broadcaster import EndOfStream
from streamsr.media.pixels import planes_of
from streamsr.node.node import Node
from streamsr.zoo.card import CARD_NAME
from streamsr.zoo.registry import find

Camera = Callable[..., RtspCamera]
ROUND = 100  # frames of the cameras' clip


class Watcher:
    """Decodes what a node sends of one stream, and keeps the numbers of its frames."""

    def __init__(self, node: Node, name: str) -> None:
        self.numbers: list[int | None] = []  # None where a frame has none
        self.sizes: set[tuple[int, int]] = set()
        self._broadcaster = node.served[name].broadcaster
        self._grown = asyncio.Condition()
        self._task = asyncio.create_task(self._watch())

    async def more(self, count: int, within_s: float) -> float:
        """Wait for so many new frames of another number than now; give the seconds it took."""
        start, wanted = monotonic(), len(self.numbers) + count
        async with asyncio.timeout(within_s), self._grown:
            await self._grown.wait_for(lambda: len(self.numbers) >= wanted)
        return monotonic() - start

    async def _watch(self) -> None:
        subscription = self._broadcaster.subscribe({Track.OUTPUT}, capacity=1000)
        decoder = av.CodecContext.create("h264", "r")
        while True:
            try:
                packet = await subscription.receive()
            except EndOfStream:
                return
            for frame in decoder.decode(av.Packet(packet.data)):
                self.sizes.add((frame.width, frame.height))
                number = read_number(planes_of(frame)[0])
                if number is None or number not in self.numbers[-1:]:  # else it is held
                    self.numbers.append(number)
            async with self._grown:
                self._grown.notify_all()


@asynccontextmanager
async def running(
    *streams: dict[str, Any], live: int | None = None, **more: object
) -> AsyncIterator[tuple[Node, Journal]]:
    """A node whose streams are live, or the first ``live`` of them."""
    defaults = {"model": {"name": "bicubic", "device": "cpu"}}
    settings = {"streams": [defaults | stream for stream in streams], **more}
    log = logged_journal()
    node = Node(NodeSettings.model_validate(settings), log)
    running = asyncio.create_task(node.run(lambda url: None))
    try:
        await until(lambda: len(node.served) == len(streams) and _all_live(node, live), 30)
        yield node, log
    finally:
        node.stop(Deadline.after())
        start = monotonic()
        await running
        assert monotonic() - start < 5


def _all_live(node: Node, count: int | None) -> bool:
    served = list(node.served.values())[:count]
    return all(stream.status().state is StreamState.LIVE for stream in served)


def assert_unbroken(numbers: list[int | None]) -> None:
    assert len(numbers) > ROUND // 2
    assert all(a is not None and b == (a + 1) % ROUND for a, b in itertools.pairwise(numbers))


@pytest.mark.serial  # not a frame may be dropped
async def test_frozen_and_killed_cameras_cost_the_others_nothing_and_return(
    rtsp_camera: Camera, clip: Callable[..., Path]
) -> None:
    small = clip(width=160, height=90)
    cameras = [rtsp_camera(small) for _ in range(4)]
    streams = [{"name": f"c{n}", "input": {"url": c.url}} for n, c in enumerate(cameras)]
    async with running(*streams) as (node, log):
        watchers = [Watcher(node, f"c{n}") for n in range(4)]
        await asyncio.gather(*(watcher.more(10, 20) for watcher in watchers))
        cameras[0].freeze()
        cameras[1].kill()
        await until(lambda: log.counts.get(Code.SRC_DOWN, 0) >= 2, 15)
        cameras[0].thaw()
        cameras[1].restart()
        took = await asyncio.gather(*(watchers[n].more(5, 12) for n in (0, 1)))
        await asyncio.gather(*(watchers[n].more(10, 10) for n in (2, 3)))
        for watcher in watchers[2:]:
            assert_unbroken(watcher.numbers)
        for n in (2, 3):
            assert node.served[f"c{n}"].status().frames_dropped == 0
    assert max(took) <= 6.5


@pytest.mark.serial  # not a frame may be dropped
async def test_a_camera_that_changes_its_size_leaves_the_others_alone(
    rtsp_camera: Camera, clip: Callable[..., Path]
) -> None:
    small, other = clip(width=160, height=90), clip(width=192, height=144)
    cameras = [rtsp_camera(small), rtsp_camera(small)]
    streams = [{"name": f"c{n}", "input": {"url": c.url}} for n, c in enumerate(cameras)]
    async with running(*streams) as (node, _log):
        changing, steady = Watcher(node, "c0"), Watcher(node, "c1")
        await asyncio.gather(changing.more(10, 20), steady.more(10, 20))
        cameras[0].restart(other)
        status = node.served["c0"].status
        await until(lambda: status().input == "192x144" and status().state is StreamState.LIVE)
        await steady.more(50, 10)
        assert changing.sizes == {(640, 360)}, "the output keeps its size"
        assert_unbroken(steady.numbers)


async def test_streams_are_switched_off_and_on_and_change_their_models(
    rtsp_camera: Camera, clip: Callable[..., Path]
) -> None:
    camera = rtsp_camera(clip(width=160, height=90))
    streams = (
        {"name": "c0", "input": {"url": camera.url}},
        {"name": "c1", "input": {"url": "demo"}},
    )
    async with running(*streams) as (node, _log):
        watcher, other = Watcher(node, "c0"), Watcher(node, "c1")
        await watcher.more(5, 20)
        await node.enable("c0", False)
        assert node.cameras()["c0"].status.state is StreamState.DISABLED
        assert not node.cameras()["c0"].enabled
        seen = len(watcher.numbers)
        await other.more(10, 10)
        assert len(watcher.numbers) == seen
        await node.enable("c0", True)
        await watcher.more(5, 10)
        await node.use_model("c0", "lanczos")
        await until(lambda: node.cameras()["c0"].status.model == "lanczos")
        await node.use_model("c0", "none")  # of another scale: the stream starts again
        await until(lambda: node.cameras()["c0"].status.output == "160x90")
        with pytest.raises(UserError, match="did you mean 'bicubic'"):
            await node.use_model("c0", "bicubik")
        with pytest.raises(UserError, match="camera: got 'c9'"):
            await node.enable("c9", True)
        with pytest.raises(UserError, match="no group 'record'"):
            await node.record("c0", True)
        jpeg = await node.snapshot("c1")
        assert jpeg.startswith(b"\xff\xd8")


def test_a_stream_may_be_told_auto_a_family_or_a_model(tmp_path: Path) -> None:
    card = find("bicubic").card.model_copy(update={"family": "quick"})
    (tmp_path / "odd").mkdir()
    dump(card, tmp_path / "odd" / CARD_NAME)
    stream = {"input": {"url": "demo"}, "model": {"folders": [tmp_path], "device": "cpu"}}
    models = Node(NodeSettings.model_validate({"streams": [stream]}), logged_journal()).models()
    assert models[0] == "auto"
    assert {"bicubic", "fast", "odd", "quick"} < {*models}
    assert list(models[1:]) == sorted({*models} - {"auto"})


async def test_the_only_stream_may_change() -> None:
    async with running({"name": "only", "input": {"url": "demo"}}) as (node, log):
        settings = node.settings
        stream = settings.streams[0]
        encoder = stream.encoder.model_copy(update={"crf": 30})
        changed = stream.model_copy(update={"encoder": encoder})
        await node.reload(settings.model_copy(update={"streams": (changed,)}))
        await Watcher(node, "only").more(5, 20)
        assert log.counts[Code.CONFIG_RELOADED] == 1


async def test_a_changed_file_changes_only_what_it_must() -> None:
    streams = [{"name": name, "input": {"url": "demo"}} for name in ("kept", "changed", "gone")]
    async with running(*streams) as (node, log):
        kept = Watcher(node, "kept")
        await kept.more(5, 20)
        broadcaster = node.served["kept"].broadcaster
        settings = node.settings
        other = settings.streams[1].model_copy(update={"enabled": False})
        new = settings.streams[1].model_copy(update={"name": "new"})
        with pytest.raises(UserError, match="mqtt: it changed"):
            await node.reload(
                NodeSettings.model_validate(settings.model_dump() | {"mqtt": {"host": "127.0.0.1"}})
            )
        wrong = new.model_copy(
            update={"model": new.model.model_copy(update={"name": "nosuch"}), "name": "wrong"}
        )
        with pytest.raises(UserError, match="model: got 'nosuch'"):
            await node.reload(settings.model_copy(update={"streams": (other, wrong)}))
        assert node.served.keys() == {"kept", "changed", "gone"}, "refused whole"
        await node.reload(
            settings.model_copy(update={"streams": (settings.streams[0], other, new)})
        )
        assert node.served.keys() == {"kept", "changed", "new"}
        assert node.served["kept"].broadcaster is broadcaster
        assert not node.cameras()["changed"].enabled
        await until(lambda: node.cameras()["new"].status.state is StreamState.LIVE)
        await kept.more(5, 10)
        assert log.counts[Code.CONFIG_RELOADED] == 1


async def test_a_stream_that_has_ended_begins_again_beside_what_it_wrote(tmp_path: Path) -> None:
    ends = {"output": {"path": str(tmp_path / "clip.mp4")}, "limits": {"frames": 3}}
    streams = {"name": "ends", "input": {"url": "demo"}}, {"name": "kept", "input": {"url": "demo"}}
    async with running(streams[1], {**streams[0], **ends, "enabled": False}, live=1) as (node, _):
        for written in (["clip.mp4"], ["clip.2.mp4", "clip.mp4"]):
            await node.enable("ends", True)
            await until(lambda: node.served["ends"].broadcaster.closed, 20)
            assert sorted(os.listdir(tmp_path)) == written
