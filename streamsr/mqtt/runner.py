"""Commands from their messages to their effect: checked as they come, carried out one at a time.

Needs no broker: what was asked for is done even if the broker goes away meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from streamsr.core.errors import StreamsrError
from streamsr.mqtt.commands import ON, Command, Mailbox, Verb
from streamsr.mqtt.messages import RefusedError, command_of
from streamsr.mqtt.node_api import NodeApi
from streamsr.mqtt.sight import NodeSnapshot
from streamsr.mqtt.topics import Heard

__all__ = ["Refuse", "Runner"]

FRESH_S = 0.2  # how old the names may be that a command is checked against
COMMAND_S = 60.0  # for carrying out a command
SNAPSHOT_BYTES = 4 * 2**20  # of a JPEG, so that no broker is lost over it

log = logging.getLogger(__name__)

Refuse = Callable[[str | None, str], None]  # the camera, if there is such a one, and why


class Runner:
    """Has ``target`` do what is asked for. ``await run()`` it; ``done`` is called after each."""

    def __init__(
        self, target: NodeApi, sight: NodeSnapshot, refuse: Refuse, done: Callable[[], None]
    ) -> None:
        self.snapshots: dict[str, bytes] = {}  # JPEG: the newest of each camera
        self._target = target
        self._sight = sight
        self._refuse = refuse
        self._done = done
        self._mailbox = Mailbox()
        self._asked = asyncio.Event()
        self._looked_s = float("-inf")  # when the node was looked at for a command

    def ask(self, heard: Heard, payload: bytes) -> None:
        """Queue what a message asks for, if it can be asked for."""
        self._look()
        cameras = self._sight.cameras
        try:
            self._mailbox.put(command_of(heard, payload, cameras, self._sight.models))
        except RefusedError as error:
            self._refuse(heard.camera if heard.camera in cameras else None, str(error))
        else:
            self._asked.set()

    async def run(self) -> None:
        """Carry out commands until cancelled."""
        while True:
            self._asked.clear()
            command = self._mailbox.take(monotonic())
            if command is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._mailbox.wait_s(monotonic())):
                        await self._asked.wait()
            else:
                await self._carry_out(command)
                self._done()

    def _look(self) -> None:
        """Know the names there are; a thousand commands a second are not to ask for them all."""
        if monotonic() - self._looked_s >= FRESH_S:
            self._sight.look()
            self._looked_s = monotonic()

    async def _carry_out(self, command: Command) -> None:
        try:
            async with asyncio.timeout(COMMAND_S):
                await self._do(command)
        except (StreamsrError, TimeoutError) as error:
            reason = str(error) or "it took too long"
            self._refuse(command.camera, f"{command.verb}: {reason}")
        except Exception as error:
            # Whatever breaks in one command, the next one is to be heard.
            log.exception("%s of camera %s failed", command.verb, command.camera)
            self._refuse(command.camera, f"{command.verb}: {type(error).__name__}")

    async def _do(self, command: Command) -> None:
        camera, on = command.camera, command.value == ON
        if camera not in self._target.cameras():
            raise StreamsrError("the camera was removed meanwhile")
        match command.verb:
            case Verb.ENABLE:
                await self._target.enable(camera, on)
            case Verb.RECORD:
                await self._target.record(camera, on)
            case Verb.MODEL:
                await self._target.use_model(camera, command.value)
            case Verb.SNAPSHOT:
                jpeg = await self._target.snapshot(camera)
                if len(jpeg) > SNAPSHOT_BYTES:
                    raise StreamsrError(f"got {len(jpeg)} bytes, allowed {SNAPSHOT_BYTES}")
                self.snapshots[camera] = jpeg
