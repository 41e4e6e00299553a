"""Commands from their messages to their effect: checked, coalesced, paced, run one at a time.

Needs no broker: a command that came is carried out even if the broker goes away meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from streamsr.control.changes import CameraChange, NewCamera
from streamsr.control.node_api import NodeApi
from streamsr.core.errors import StreamsrError
from streamsr.core.waiting import wait_set
from streamsr.mqtt.images import MAX_IMAGE_BYTES
from streamsr.mqtt.messages import AUTO, ON
from streamsr.mqtt.node_snapshot import NodeSnapshot
from streamsr.mqtt.parsing import Command, RefusedError, parse_command
from streamsr.mqtt.topics import ParsedTopic, Verb

__all__ = ["CommandQueue", "CommandRunner"]

REST_S = 0.5  # between two commands of one verb to one camera: a flood must not wear it out
COMMAND_S = 60.0  # for carrying out a command
MOST = 100  # commands that wait: of cameras that are to be added there may be any number

log = logging.getLogger(__name__)


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
        """Queues a command. Raises RefusedError where too many wait."""
        key = command.camera, command.verb
        if key not in self._waiting and len(self._waiting) >= MOST:
            raise RefusedError(f"{command.verb}: got one more, allowed are {MOST} that wait")
        self._waiting[key] = command

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
            self._refuse(self._known(topic.camera), str(error))
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
            self._refuse(self._known(command.camera), f"{command.verb}: {reason}")
        except Exception as error:
            # a defect in one command must not stop those after it
            log.exception("%s of camera %s failed", command.verb, command.camera)
            self._refuse(self._known(command.camera), f"{command.verb}: {type(error).__name__}")

    def _known(self, camera: str) -> str | None:
        return camera if camera in self._snapshot.cameras else None

    async def _execute(self, command: Command) -> None:
        node, camera, value = self._node, command.camera, command.value
        if command.verb is not Verb.ADD and camera not in node.cameras():
            raise StreamsrError("the camera was removed meanwhile")
        if isinstance(value, NewCamera):
            await node.add(value)
        elif isinstance(value, CameraChange):
            await node.change(camera, value)
        else:
            await self._steer(command.verb, camera, value)

    async def _steer(self, verb: Verb, camera: str, value: str) -> None:
        node = self._node
        match verb:
            case Verb.REMOVE:
                await node.remove(camera)
            case Verb.ENABLE:
                await node.enable(camera, value == ON)
            case Verb.RECORD:
                await node.record(camera, value == ON)
            case Verb.MODEL:
                await node.use_model(camera, value)
            case Verb.SIZE:
                await node.size(camera, "" if value == AUTO else value)
            case Verb.SELF_CHECK:
                await node.self_check(camera)
            case Verb.SNAPSHOT:
                jpeg = await node.snapshot(camera)
                if len(jpeg) > MAX_IMAGE_BYTES:
                    raise StreamsrError(f"got {len(jpeg)} bytes, allowed {MAX_IMAGE_BYTES}")
                self._snapshot.jpegs[camera] = jpeg
