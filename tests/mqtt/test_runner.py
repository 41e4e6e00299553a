"""Commands are carried out one by one, whatever becomes of each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from peers.waiting import until
from village import JPEG, Village

from streamsr.core.errors import ModelError
from streamsr.mqtt import runner as module
from streamsr.mqtt.runner import Runner
from streamsr.mqtt.sight import NodeSnapshot
from streamsr.mqtt.topics import About, Heard


class Odd(Village):
    """Its models are trouble."""

    async def use_model(self, camera: str, model: str) -> None:
        if model == "broken":
            raise ZeroDivisionError("rtsp://me:secret@cam")
        await super().use_model(camera, model)


class Damaged(Village):
    """Its folder of models may be."""

    damage = ""

    def models(self) -> Sequence[str]:
        if self.damage:
            raise ModelError(self.damage)
        return super().models()


class Bench:
    """A runner, what it refused, and how often it was done."""

    def __init__(self, node: Village) -> None:
        self.refused: list[tuple[str | None, str]] = []
        self.blind: list[str] = []  # why the node could not be looked at
        self.done = 0
        sight = NodeSnapshot(node, self.blind.append)
        self.runner = Runner(node, sight, lambda *why: self.refused.append(why), self._count)

    def ask(self, word: str, payload: str, camera: str = "yard") -> None:
        self.runner.ask(Heard(About.COMMAND, camera, word), payload.encode())

    def _count(self) -> None:
        self.done += 1


@asynccontextmanager
async def bench(node: Village) -> AsyncIterator[Bench]:
    made = Bench(node)
    task = asyncio.create_task(made.runner.run())
    try:
        yield made
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_is_asked_is_done_in_order() -> None:
    node = Village("yard", "door")
    async with bench(node) as at:
        at.ask("enable", "off", "door")
        at.ask("record", "ON")
        at.ask("snapshot", "PRESS")
        at.ask("model", "edvr-m")
        await until(lambda: at.done == 4)
        assert node.orders == [
            ("door", "enable", False),
            ("yard", "record", True),
            ("yard", "snapshot", ""),
            ("yard", "model", "edvr-m"),
        ]
        assert at.runner.snapshots == {"yard": JPEG}
        assert at.refused == []


async def test_a_defect_in_one_command_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async with bench(Odd()) as at:
        at.ask("model", "broken")
        at.ask("enable", "off")
        await until(lambda: at.done == 2)
        assert at.refused == [("yard", "model: ZeroDivisionError")]


async def test_a_command_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND_S", 0.05)
    node = Village()
    node.hurdle.clear()
    async with bench(node) as at:
        at.ask("model", "edvr-m")
        await until(lambda: at.refused)
        assert at.refused == [("yard", "model: it took too long")]


async def test_a_snapshot_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_BYTES", 1000)
    async with bench(Village()) as at:
        at.ask("snapshot", "PRESS")
        await until(lambda: at.refused)
        assert at.refused == [("yard", f"snapshot: got {len(JPEG)} bytes, allowed 1000")]
        assert at.runner.snapshots == {}


async def test_a_camera_may_go_between_asking_and_doing() -> None:
    node = Village("yard", "door")
    node.hurdle.clear()
    async with bench(node) as at:
        at.ask("model", "edvr-m")
        at.ask("enable", "off", "door")
        await until(lambda: node.orders)
        del node.present["door"]
        node.hurdle.set()
        await until(lambda: at.refused)
        assert at.refused == [("door", "enable: the camera was removed meanwhile")]


async def test_the_node_is_not_asked_for_its_names_each_time() -> None:
    node = Village()
    at: Any = Bench(node)
    for _ in range(10_000):
        at.ask("enable", "ON")
    assert node.looks < 100


async def test_names_that_cannot_be_had_leave_the_last_ones() -> None:
    """A damaged card in a folder of models, say: commands are still carried out."""
    node = Damaged()
    async with bench(node) as at:
        at.ask("model", "fast")
        await until(lambda: at.done == 1)
        for look in range(3):
            node.damage = "model x: its card is damaged"
            at.runner._looked_s = float("-inf")
            at.ask("enable", "ON" if look % 2 else "OFF")
        at.runner._looked_s = float("-inf")
        at.ask("model", "edvr-m")
        await until(lambda: ("yard", "model", "edvr-m") in node.orders)
        assert at.refused == []
        assert at.blind == [
            "models cannot be listed, the last list is kept: model x: its card is damaged"
        ]
        node.damage = ""
        at.runner._looked_s = float("-inf")
        at.ask("enable", "ON")
        node.damage = "model y: it is worse"
        at.runner._looked_s = float("-inf")
        at.ask("enable", "ON")
        assert len(at.blind) == 2
