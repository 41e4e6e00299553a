"""Commands from their messages to their effect: checked, coalesced, paced, run one at a time.

Needs no broker: a command that came is carried out even if the broker goes away meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from streamsr.core.errors import StreamsrError
from streamsr.core.target_size import TargetSize
from streamsr.core.waiting import wait_set
from streamsr.mqtt.images import MAX_IMAGE_BYTES
from streamsr.mqtt.messages import AUTO, OFF, ON
from streamsr.mqtt.node_api import NodeApi, NodeSnapshot
from streamsr.mqtt.topics import ParsedTopic, Verb

__all__ = ["Command", "CommandQueue", "CommandRunner", "RefusedError", "parse_command"]

REST_S = 0.5  # between two commands of one verb to one camera: a flood must not wear it out
COMMAND_S = 60.0  # for carrying out a command
MAX_BYTES = 256  # of a command's payload
MAX_SHOWN = 40  # characters of what was sent that a refusal repeats
MAX_LISTED = 20  # allowed names that a refusal lists
_SWITCH = {"on": ON, "true": ON, "1": ON, "off": OFF, "false": OFF, "0": OFF}

log = logging.getLogger(__name__)


class RefusedError(ValueError):
    """A command is not carried out. The message tells what it got and what is allowed."""


@dataclass(frozen=True, slots=True)
class Command:
    """One valid command."""

    camera: str
    verb: Verb
    value: str = ""  # ON, OFF, a model's name or a size; "" where nothing is to be said


def parse_command(
    topic: ParsedTopic, payload: bytes, cameras: Collection[str], models: Sequence[str]
) -> Command:
    """The command that a message gives. Pure. Raises RefusedError."""
    if topic.camera not in cameras:
        raise RefusedError(f"camera: got {_shown(topic.camera)}, allowed {_listed(cameras)}")
    try:
        verb = Verb(topic.verb)
    except ValueError:
        raise RefusedError(f"command: got {_shown(topic.verb)}, allowed {_listed(Verb)}") from None
    return Command(topic.camera, verb, _value(verb, payload, models))


class CommandQueue:
    """Holds one command for each verb of each camera: the last one, in the first one's place.

    Commands leave in that order, those of one key ``REST_S`` apart at least. Pure.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, Verb], Command] = {}
        self._taken_s: dict[tuple[str, Verb], float] = {}  # when one of this key was taken last

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: Command) -> None:
        self._waiting[command.camera, command.verb] = command

    def take(self, now_s: float) -> Command | None:
        """Removes the first command that is due and returns it; None where none is."""
        self._taken_s = {k: s for k, s in self._taken_s.items() if now_s < s + REST_S}
        key = next((key for key in self._waiting if key not in self._taken_s), None)
        if key is None:
            return None
        self._taken_s[key] = now_s
        return self._waiting.pop(key)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until ``take`` returns a command; None where none is waiting."""
        due_s = (self._taken_s.get(key, now_s - REST_S) + REST_S for key in self._waiting)
        return max(0.0, min(due_s) - now_s) if self._waiting else None


class CommandRunner:
    """Has ``node`` carry out what is submitted. ``await run()`` it."""

    def __init__(
        self,
        node: NodeApi,
        snapshot: NodeSnapshot,
        refuse: Callable[[str | None, str], None],
        done: Callable[[], None],
        *,
        command_s: float = COMMAND_S,
    ) -> None:
        """``refuse`` is told the camera, None where there is no such one, and the reason; ``done``
        is called after each command. One that takes longer than ``command_s`` is ended.
        """
        self._node = node
        self._snapshot = snapshot
        self._refuse = refuse
        self._done = done
        self._command_s = command_s
        self._queue = CommandQueue()
        self._submitted = asyncio.Event()

    def submit(self, topic: ParsedTopic, payload: bytes) -> None:
        """Queues the command of a message, or refuses it."""
        cameras = self._snapshot.cameras
        try:
            self._queue.put(parse_command(topic, payload, cameras, self._snapshot.models))
        except RefusedError as error:
            self._refuse(topic.camera if topic.camera in cameras else None, str(error))
        else:
            self._submitted.set()

    async def run(self) -> None:
        """Carries out commands until cancelled."""
        while True:
            self._submitted.clear()
            command = self._queue.take(monotonic())
            if command is None:
                await wait_set(self._submitted, self._queue.wait_s(monotonic()))
            else:
                await self._attempt(command)
                self._done()

    async def _attempt(self, command: Command) -> None:
        try:
            async with asyncio.timeout(self._command_s):
                await self._execute(command)
        except (StreamsrError, TimeoutError) as error:
            reason = str(error) or "it took too long"
            self._refuse(command.camera, f"{command.verb}: {reason}")
        except Exception as error:
            # a defect in one command must not stop those after it
            log.exception("%s of camera %s failed", command.verb, command.camera)
            self._refuse(command.camera, f"{command.verb}: {type(error).__name__}")

    async def _execute(self, command: Command) -> None:
        camera, on = command.camera, command.value == ON
        if camera not in self._node.cameras():
            raise StreamsrError("the camera was removed meanwhile")
        match command.verb:
            case Verb.ENABLE:
                await self._node.enable(camera, on)
            case Verb.RECORD:
                await self._node.record(camera, on)
            case Verb.MODEL:
                await self._node.use_model(camera, command.value)
            case Verb.SIZE:
                await self._node.size(camera, "" if command.value == AUTO else command.value)
            case Verb.SELF_CHECK:
                await self._node.self_check(camera)
            case Verb.SNAPSHOT:
                jpeg = await self._node.snapshot(camera)
                if len(jpeg) > MAX_IMAGE_BYTES:
                    raise StreamsrError(f"got {len(jpeg)} bytes, allowed {MAX_IMAGE_BYTES}")
                self._snapshot.jpegs[camera] = jpeg


def _value(verb: Verb, payload: bytes, models: Sequence[str]) -> str:
    if len(payload) > MAX_BYTES:
        raise RefusedError(f"{verb}: got {len(payload)} bytes, allowed {MAX_BYTES}")
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        raise RefusedError(f"{verb}: got {len(payload)} bytes, allowed UTF-8") from None
    if verb in (Verb.SNAPSHOT, Verb.SELF_CHECK):
        return ""
    if verb is Verb.SIZE:
        return _size(text)
    if verb is Verb.MODEL:
        if text not in models:
            raise RefusedError(f"{verb}: got {_shown(text)}, allowed {_listed(models)}")
        return text
    value = _SWITCH.get(text.lower())
    if value is None:
        raise RefusedError(f"{verb}: got {_shown(text)}, allowed {ON}, {OFF}")
    return value


def _size(text: str) -> str:
    """A size, as settings name one; a scale is not set here."""
    try:
        if text != AUTO:
            TargetSize.parse(text, None)
    except ValueError as error:
        raise RefusedError(f"{Verb.SIZE}: got {_shown(text)}: {error}, or {AUTO}") from None
    return text


def _shown(text: str) -> str:
    """What was sent, short and free of control characters."""
    return ascii(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}...")


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:MAX_LISTED] + ["..."] * (len(listed) > MAX_LISTED)) or "none"
