"""Commands: checked as they come, coalesced and paced, and carried out one by one."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from fake_node import JPEG, FakeNode
from peers.waiting import until

from streamsr.control.changes import CameraChange, NewCamera, Surroundings, made
from streamsr.mqtt.commands import MOST, REST_S, CommandQueue, CommandRunner
from streamsr.mqtt.images import MAX_IMAGE_BYTES
from streamsr.mqtt.messages import OFF, ON
from streamsr.mqtt.node_snapshot import NodeSnapshot
from streamsr.mqtt.parsing import Command, RefusedError, parse_command
from streamsr.mqtt.topics import ParsedTopic, TopicKind, Verb

CAMERAS, MODELS = ["yard", "door"], ["edvr-m", "fast"]


def parsed(verb: str, payload: bytes, camera: str = "yard") -> Command:
    return parse_command(ParsedTopic(TopicKind.COMMAND, camera, verb), payload, CAMERAS, MODELS)


def key_of(command: Command) -> tuple[str, Verb]:
    return command.camera, command.verb


@pytest.mark.parametrize("verb", [Verb.ENABLE, Verb.RECORD])
@pytest.mark.parametrize("value", ["ON", "OFF"])
def test_switches(verb: Verb, value: str) -> None:
    spellings = {"ON": ["ON", "on", "true", "True", "1", " ON\n"], "OFF": ["OFF", "false", "0"]}
    for spelling in spellings[value]:
        assert parsed(verb, spelling.encode()) == Command("yard", verb, value)


def test_models_and_snapshots() -> None:
    assert parsed("model", b"edvr-m", "door") == Command("door", Verb.MODEL, "edvr-m")
    for payload in (b"PRESS", b"", b"anything"):
        assert parsed("snapshot", payload) == Command("yard", Verb.SNAPSHOT)
        assert parsed("self_check", payload) == Command("yard", Verb.SELF_CHECK)


@pytest.mark.parametrize("size", ["auto", "720p", "1080p", "4k", "640x360", "720"])
def test_sizes(size: str) -> None:
    assert parsed("size", size.encode()) == Command("yard", Verb.SIZE, size)


@pytest.mark.parametrize(
    ("camera", "verb", "payload", "message"),
    [
        ("attic", "enable", b"ON", "camera: got 'attic', allowed door, yard"),
        ("yard", "enabel", b"ON", "command: got 'enabel', allowed change, enable, model"),
        ("yard", "enable", b"2", "enable: got '2', allowed ON, OFF"),
        ("yard", "enable", b"", "enable: got '', allowed ON, OFF"),
        ("yard", "record", b"\xff", "record: got 1 bytes, allowed UTF-8"),
        ("yard", "snapshot", b"x" * 257, "snapshot: got 257 bytes, allowed 256"),
        ("yard", "size", b"big", "size: got 'big': allowed"),
        ("yard", "model", b"Fast", "model: got 'Fast', allowed edvr-m, fast"),
        ("yard", "model", "ü\n\x1b[31m".encode(), r"model: got '\xfc\n\x1b[31m', allowed edvr-m"),
        ("yard", "model", b"y" * 99, f"model: got '{'y' * 40}...', allowed edvr-m, fast"),
    ],
)
def test_refusals_tell_what_came_and_what_is_allowed(
    camera: str, verb: str, payload: bytes, message: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        parsed(verb, payload, camera)
    assert str(refused.value).startswith(message)


def test_a_refusal_is_short_however_many_names_there_are() -> None:
    many = [f"camera{number}" for number in range(1000)]
    with pytest.raises(RefusedError) as refused:
        parse_command(ParsedTopic(TopicKind.COMMAND, "x" * 60_000, "enable"), b"ON", many, MODELS)
    assert len(str(refused.value)) < 400
    with pytest.raises(RefusedError, match="allowed none"):
        parse_command(ParsedTopic(TopicKind.COMMAND, "x", "enable"), b"ON", [], [])


def test_cameras_are_added_changed_and_removed_by_json() -> None:
    new = NewCamera(name="gate", url="rtsp://me:canary@10.0.0.9/live", size="1080p")
    payload = b'{"name": "gate", "url": "rtsp://me:canary@10.0.0.9/live", "size": "1080p"}'
    assert parsed("add", payload, "") == Command("gate", Verb.ADD, new)
    change = CameraChange(model="fast", settings=None)
    assert parsed("change", b'{"model": "fast"}').value == change
    assert parsed("remove", b"door", "") == Command("door", Verb.REMOVE)


@pytest.mark.parametrize(
    ("camera", "verb", "payload", "message"),
    [
        ("", "add", b"rtsp://me:canary@x", "add: got 18 bytes, allowed is an object in JSON"),
        ("", "add", b"[" * 60_000, "add: got 60000 bytes, allowed is an object in JSON"),
        ("", "add", b"{" + b" " * 70_000, "add: got 70001 bytes, allowed 65536"),
        ("", "add", b'{"url": "rtsp://me:canary@x"}', "add: key 'name' is missing"),
        ("", "add", b'{"name": "a", "url": ["rtsp://me:canary@x"]}', "add: url: got "),
        ("", "add", b'{"name": "a", "urll": "rtsp://me:canary@x"}', "add: unknown key 'urll'"),
        ("", "remove", b"attic", "camera: got 'attic', allowed door, yard"),
        ("", "enable", b"ON", "command: got 'enable', allowed add, remove"),
        ("yard", "add", b"{}", "command: got 'add', allowed change, enable"),
        ("yard", "change", b'{"size": 5}', "change: size: got 5"),
    ],
)
def test_what_is_wrong_with_a_camera_is_said_without_its_secrets(
    camera: str, verb: str, payload: bytes, message: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        parsed(verb, payload, camera)
    assert message in str(refused.value)
    assert "canary" not in str(refused.value)


def test_so_many_cameras_wait_to_be_added_and_no_more() -> None:
    queue = CommandQueue()
    for number in range(MOST):
        queue.put(Command(f"c{number}", Verb.ADD, "x"))
    with pytest.raises(RefusedError, match="add: got one more, allowed are 100 that wait"):
        queue.put(Command("another", Verb.ADD, "x"))
    queue.put(Command("c7", Verb.ADD, "y"))


def test_garbage_is_refused_and_nothing_else_happens() -> None:
    chance = random.Random(5)
    for _ in range(10_000):
        verb = chance.choice(["enable", "record", "model", "x", ""])
        payload = chance.randbytes(chance.choice([2, 3, 5, 20, 400]))
        with suppress(RefusedError):
            command = parsed(verb, payload, chance.choice(["yard", "Yard", ""]))
            assert command.value in ("ON", "OFF", *MODELS)


def test_commands_leave_in_the_order_they_came() -> None:
    queue = CommandQueue()
    sent = [Command(name, verb, "x") for name in ("b", "a") for verb in Verb]
    for command in sent:
        queue.put(command)
    assert [queue.take(0) for _ in sent] == sent
    assert queue.take(0) is None
    assert queue.wait_s(0) is None


def test_the_last_one_wins_in_the_first_one_s_place() -> None:
    queue = CommandQueue()
    queue.put(Command("yard", Verb.ENABLE, ON))
    queue.put(Command("yard", Verb.MODEL, "fast"))
    queue.put(Command("yard", Verb.ENABLE, OFF))
    assert len(queue) == 2
    assert queue.take(0) == Command("yard", Verb.ENABLE, OFF)
    assert queue.take(0) == Command("yard", Verb.MODEL, "fast")


def test_the_same_verb_again_waits_and_holds_no_other_up() -> None:
    queue = CommandQueue()
    queue.put(Command("yard", Verb.ENABLE, ON))
    assert queue.take(10.0) is not None
    queue.put(Command("yard", Verb.ENABLE, OFF))
    queue.put(Command("door", Verb.ENABLE, OFF))
    assert queue.take(10.1) == Command("door", Verb.ENABLE, OFF)
    assert queue.take(10.1) is None
    assert queue.wait_s(10.1) == REST_S - (10.1 - 10.0)
    assert queue.take(10.0 + REST_S) == Command("yard", Verb.ENABLE, OFF)


def test_the_queue_is_bounded_and_keeps_the_last_command_of_each_key() -> None:
    for seed in range(30):
        chance, queue, now_s = random.Random(seed), CommandQueue(), 0.0
        last: dict[tuple[str, Verb], Command] = {}
        taken_s: dict[tuple[str, Verb], float] = {}
        done: dict[tuple[str, Verb], Command] = {}

        def take(
            now_s: float,
            queue: CommandQueue = queue,
            taken_s: dict[tuple[str, Verb], float] = taken_s,
            done: dict[tuple[str, Verb], Command] = done,
        ) -> bool:
            command = queue.take(now_s)
            if command is None:
                return False
            assert now_s - taken_s.get(key_of(command), -1.0) >= REST_S - 1e-9
            taken_s[key_of(command)], done[key_of(command)] = now_s, command
            return True

        for number in range(2000):
            now_s += chance.choice([0.0, 0.001, 0.01])
            command = Command(chance.choice("abc"), chance.choice(list(Verb)), str(number))
            last[key_of(command)] = command
            queue.put(command)
            assert len(queue) <= 3 * len(Verb)
            if chance.random() < 0.3:
                take(now_s)
        while (wait_s := queue.wait_s(now_s)) is not None:
            now_s += wait_s + 1e-9
            assert take(now_s)
        assert done == last


class Bench:
    """A runner of a node's commands, what it refused, and how many it has done."""

    def __init__(self, node: FakeNode, command_s: float = 60.0) -> None:
        self.refused: list[tuple[str | None, str]] = []
        self.done = 0
        self.snapshot = NodeSnapshot(node, lambda reason: None)
        self.snapshot.refresh()
        self.runner = CommandRunner(
            node,
            self.snapshot,
            lambda camera, reason: self.refused.append((camera, reason)),
            self._count,
            command_s=command_s,
        )

    def submit(self, verb: str, payload: str, camera: str = "yard") -> None:
        self.runner.submit(ParsedTopic(TopicKind.COMMAND, camera, verb), payload.encode())

    def _count(self) -> None:
        self.done += 1


@asynccontextmanager
async def running(node: FakeNode, command_s: float = 60.0) -> AsyncIterator[Bench]:
    bench = Bench(node, command_s)
    task = asyncio.create_task(bench.runner.run())
    try:
        yield bench
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_commands_are_carried_out_in_order() -> None:
    node = FakeNode("yard", "door")
    async with running(node) as bench:
        bench.submit("enable", "off", "door")
        bench.submit("record", "ON")
        bench.submit("snapshot", "PRESS")
        bench.submit("model", "edvr-m")
        await until(lambda: bench.done == 4)
        assert node.commands == [
            ("door", "enable", False),
            ("yard", "record", True),
            ("yard", "snapshot", ""),
            ("yard", "model", "edvr-m"),
        ]
        assert bench.snapshot.jpegs == {"yard": JPEG}
        assert bench.refused == []


@pytest.mark.timeout(10)
async def test_no_file_is_opened_for_a_client_of_the_broker() -> None:
    class Careful(FakeNode):
        async def add(self, asked: NewCamera) -> None:
            made(asked, Surroundings(MODELS, frozenset()))

    new = {"name": "new", "url": "demo", "settings": {"publish": [{"url": "@/dev/ptmx"}]}}
    async with running(Careful()) as bench:
        bench.submit("add", json.dumps(new), "")
        await until(lambda: bench.refused)
        assert bench.refused[0][1].startswith("add: body: publish.0.url: got '***': allowed are")


async def test_a_defect_in_one_command_does_not_stop_the_next() -> None:
    class Defective(FakeNode):
        async def use_model(self, camera: str, model: str) -> None:
            raise ZeroDivisionError("rtsp://me:secret@cam")

    async with running(Defective()) as bench:
        bench.submit("model", "fast")
        bench.submit("enable", "off")
        await until(lambda: bench.done == 2)
        assert bench.refused == [("yard", "model: ZeroDivisionError")]


async def test_a_command_that_never_ends_is_given_up() -> None:
    node = FakeNode()
    node.switch_allowed.clear()
    async with running(node, command_s=0.05) as bench:
        bench.submit("model", "edvr-m")
        await until(lambda: bench.refused)
        assert bench.refused == [("yard", "model: it took too long")]


async def test_a_snapshot_that_is_too_large_is_refused() -> None:
    class Large(FakeNode):
        async def snapshot(self, camera: str) -> bytes:
            return bytes(MAX_IMAGE_BYTES + 1)

    async with running(Large()) as bench:
        bench.submit("snapshot", "PRESS")
        await until(lambda: bench.refused)
        assert bench.refused == [("yard", "snapshot: got 4194305 bytes, allowed 4194304")]
        assert bench.snapshot.jpegs == {}


async def test_a_camera_may_go_between_a_command_s_arrival_and_its_start() -> None:
    node = FakeNode("yard", "door")
    node.switch_allowed.clear()
    async with running(node) as bench:
        bench.submit("model", "edvr-m")
        bench.submit("enable", "off", "door")
        await until(lambda: node.commands)
        del node.states["door"]
        node.switch_allowed.set()
        await until(lambda: bench.refused)
        assert bench.refused == [("door", "enable: the camera was removed meanwhile")]
