"""What is said arrives, or is said again; nothing piles up meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from peers.waiting import until
from village import JPEG, Village, a_camera

from streamsr.core.errors import ModelError
from streamsr.core.events import Code, Event
from streamsr.core.settings import MqttSettings
from streamsr.mqtt.sight import NodeSnapshot
from streamsr.mqtt.state_publisher import Publisher
from streamsr.mqtt.topics import About, Heard, Topics

TOPICS = Topics("streamsr", "node", "homeassistant")
STATE, EVENT = TOPICS.state("yard"), TOPICS.event("yard")


class Post:
    """Takes messages for as long as it is open."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int, bool]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        await self.open.wait()
        self.sent.append((topic, payload, qos, retain))

    def count(self, topic: str) -> int:
        return [sent[0] for sent in self.sent].count(topic)


def publisher(node: Village, snapshots: dict[str, bytes] | None = None) -> Publisher:
    settings = MqttSettings(host="x", interval_s=1.0)
    sight = NodeSnapshot(node, lambda message: None)
    return Publisher(settings, TOPICS, sight, {} if snapshots is None else snapshots)


@asynccontextmanager
async def visiting(says: Publisher, post: Post) -> AsyncIterator[None]:
    says.begin()
    task = asyncio.create_task(says.run(post))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_goes_out_and_how() -> None:
    post, says = Post(), publisher(Village(), {"yard": JPEG, "gone": JPEG})
    says.event(Event(Code.SRC_UP, "yard", "there it is"))
    async with visiting(says, post):
        await until(lambda: post.count(TOPICS.metrics("yard")))
        assert [(topic, qos, retain) for topic, _, qos, retain in post.sent] == [
            (STATE, 1, True),
            (TOPICS.discovery("yard"), 1, True),
            (TOPICS.availability, 1, True),  # after what it promises, before what is large
            (TOPICS.snapshot("yard"), 1, True),
            (EVENT, 1, False),
            (TOPICS.metrics("yard"), 0, False),
        ]


async def test_a_broker_that_takes_nothing_costs_nothing() -> None:
    post, node = Post(), Village()
    says = publisher(node)
    async with visiting(says, post):
        await until(lambda: post.count(STATE))
        post.open.clear()
        before = len(post.sent)
        for number in range(10_000):
            node.present["yard"] = a_camera(input=f"{number}x180")
            says.event(Event(Code.SRC_TIME, f"camera{number}", "other"))
            says.changed()
            await asyncio.sleep(0)
        post.open.set()
        await until(lambda: b"9999x180" in b"".join(payload for _, payload, _, _ in post.sent))
        await until(lambda: post.count(TOPICS.event(None)) >= 32)
        assert len(post.sent) - before <= 32 + 8


async def test_the_next_connection_gets_all_again_and_what_was_under_way() -> None:
    says, first, second = publisher(Village()), Post(), Post()
    async with visiting(says, first):
        await until(lambda: first.count(STATE))
        first.open.clear()
        says.event(Event(Code.SRC_DOWN, "yard", "away"))
        await asyncio.sleep(0.1)
    async with visiting(says, second):
        await until(lambda: second.count(EVENT))
        assert second.count(STATE) == second.count(TOPICS.availability) == 1


async def test_home_assistant_may_start_as_often_as_it_likes() -> None:
    post, says = Post(), publisher(Village())
    async with visiting(says, post):
        await until(lambda: post.count(STATE))
        for _ in range(1000):
            says.heard(Heard(About.BIRTH), TOPICS.birth, b"online", retained=False)
            says.changed()
            await asyncio.sleep(0)
        await until(lambda: post.count(TOPICS.discovery("yard")) == 2)
        says.heard(Heard(About.BIRTH), TOPICS.birth, b"online", retained=False)
        await asyncio.sleep(0.7)
        assert post.count(TOPICS.discovery("yard")) == 2  # not before some seconds


async def test_a_camera_s_own_retained_state_is_left_as_it_is() -> None:
    post, says = Post(), publisher(Village(), {})
    async with visiting(says, post):
        says.heard(Heard(About.STATE, "yard"), STATE, b"{}", retained=True)
        says.heard(Heard(About.STATE, "gone"), TOPICS.state("gone"), b"{}", retained=True)
        await until(lambda: post.count(TOPICS.snapshot("gone")))
        cleared = {topic for topic, payload, _, _ in post.sent if payload == b""}
        assert cleared == set(TOPICS.retained("gone"))


async def test_models_that_cannot_be_listed_take_nothing_away() -> None:
    class Damaged(Village):
        def models(self) -> list[str]:
            if self.looks > 1:
                raise ModelError("model x: its card is damaged")
            return ["fast"]

    post, node = Post(), Damaged()
    says = publisher(node)
    async with visiting(says, post):
        await until(lambda: post.count(STATE))
        node.present["yard"] = a_camera(input="640x360")
        says.changed()
        await until(lambda: post.count(STATE) == 2)
        assert node.looks > 1
    assert post.count(TOPICS.discovery("yard")) == 1, "it stays as it was"
