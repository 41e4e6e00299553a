"""A node's client of its MQTT broker: connects again whenever the connection ends.

Nothing of video waits for it: all that is queued here is bounded, and the broker may be away
indefinitely.
"""

import asyncio
import logging
from contextlib import suppress
from time import monotonic

from streamsr.control.node_api import NodeApi
from streamsr.core.backoff import Backoff, keep_trying
from streamsr.core.deadline import Deadline
from streamsr.core.errors import ConfigError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.settings import MqttSettings
from streamsr.core.waiting import first_of, wait_set
from streamsr.mqtt.commands import CommandRunner
from streamsr.mqtt.connection import ANSWER_S, BrokerAuthError, Connection, MqttError, port_of
from streamsr.mqtt.credentials import Credentials, read_credentials
from streamsr.mqtt.images import CameraImages
from streamsr.mqtt.messages import OFFLINE
from streamsr.mqtt.node_snapshot import NodeSnapshot
from streamsr.mqtt.state_publisher import SETTLE_S, StatePublisher
from streamsr.mqtt.topics import TopicKind, Topics

__all__ = ["MqttClient"]

FIRST_S, LAST_S = 0.5, 3.0  # between tries to connect
REFUSED_S = 30.0  # more where the broker refuses the credentials: it may count the tries
STEADY_S = 5.0  # a connection that lasted so long was a good one

log = logging.getLogger(__name__)


class MqttClient:
    """Publishes a node's state and has the node carry out commands: ``run`` it, ``stop`` it."""

    def __init__(
        self,
        settings: MqttSettings,
        name: str,
        node: NodeApi,
        emit: Emit,
        *,
        backoff: Backoff | None = None,
        answer_s: float = ANSWER_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        """``emit`` takes the client's own events; its journal hands the changes to ``event``.

        ``backoff`` gives the waits between tries to connect, each of which gets ``answer_s`` for
        the broker's answer; what waited for it is told ``settle_s`` after its return. Raises
        ConfigError as read_credentials does.
        """
        self.connected = False
        self._settings = settings
        self._credentials = read_credentials(settings)
        self._wrong = ""  # why its files could not be read again
        self._topics = Topics(settings.prefix, name, settings.discovery_prefix)
        self._emit = emit
        self._backoff = backoff or Backoff(FIRST_S, LAST_S)
        self._answer_s = answer_s
        snapshot = NodeSnapshot(node, self._read)
        self._publisher = StatePublisher(settings, self._topics, snapshot, settle_s=settle_s)
        self._images = CameraImages(node, snapshot, settings.image_s, self._publisher.changed)
        self._commands = CommandRunner(node, snapshot, self._refuse, self._publisher.changed)
        self._reported: tuple[Code, str] | None = None  # of the broker, last
        self._deadline: Deadline | None = None  # of the stop, once that is asked for
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    def event(self, event: Event) -> None:
        """Publishes a change soon, or once the broker is back: until then the newest of each kind
        of each subject waits."""
        self._publisher.event(event)

    async def run(self) -> None:
        """Stays connected until ``stop``. Cancelled instead, it leaves the broker the last will."""
        try:
            async with asyncio.TaskGroup() as group:
                commands = group.create_task(self._commands.run(), name="mqtt-commands")
                await keep_trying(
                    self._attempt, self._backoff, self._stopping, lambda reason, delay_s: None
                )
                commands.cancel()
        finally:
            self._stopped.set()

    async def stop(self, deadline: Deadline) -> None:
        """Publishes "offline", disconnects and ends ``run``, which has to be running."""
        self._deadline = deadline
        self._stopping.set()
        await wait_set(self._stopped, deadline.left_s())

    async def _attempt(self) -> str | None:
        """Connects and stays connected. Returns why that ended, None when stopped."""
        try:
            await self._connect()
        except BrokerAuthError as error:
            self._report(Code.MQTT_AUTH, str(error), REFUSED_S)
            await wait_set(self._stopping, REFUSED_S)
            return str(error)
        except MqttError as error:
            reason = str(error.__cause__ or error)
            self._report(Code.MQTT_DOWN, reason, self._backoff.last_s)
            return reason
        except Exception as error:
            # whatever is wrong with MQTT must not end the video
            log.exception("the MQTT client failed; it connects again")
            return repr(error)
        return None

    async def _connect(self) -> None:
        """One connection, until it is lost, which raises MqttError, or the client is stopped."""
        began_s = monotonic()
        self._credentials = await asyncio.to_thread(self._read_again)
        connection = Connection(
            self._settings, self._credentials, self._topics, self._receive, answer_s=self._answer_s
        )
        try:
            await first_of(self._serve(connection), self._stopping.wait(), name="mqtt")
            if self.connected and self._deadline is not None:
                await self._leave(connection, self._deadline)
        finally:
            self.connected = False
            await connection.drop()
            if monotonic() - began_s > STEADY_S:
                self._backoff.succeeded()

    def _read_again(self) -> Credentials:
        """What the files of password and authorities hold now; what they did, where it is wrong."""
        try:
            found, self._wrong = read_credentials(self._settings), ""
        except ConfigError as error:
            if str(error) != self._wrong:
                self._wrong = str(error)
                log.warning("%s; what was read before is used", error)
            return self._credentials
        return found

    async def _serve(self, connection: Connection) -> None:
        await connection.open()
        self._publisher.reset()
        topics = self._topics.subscriptions(self._settings.discovery)
        await connection.subscribe([(topic, 1) for topic in topics])
        self.connected = True
        self._report(Code.MQTT_UP, "connected")
        publishing = self._publisher.run(connection), self._images.run()
        await first_of(connection.wait_lost(), *publishing, name="mqtt")

    async def _leave(self, connection: Connection, deadline: Deadline) -> None:
        with suppress(MqttError, TimeoutError):
            async with asyncio.timeout(deadline.share(0.9).left_s()):  # the rest is for the socket
                await connection.publish(self._topics.availability, OFFLINE, qos=1, retain=True)
                await connection.close()

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """Dispatches a message, quickly: there may be a thousand a second."""
        parsed = self._topics.parse(topic)
        if parsed is None:
            return
        if parsed.kind is not TopicKind.COMMAND:
            self._publisher.receive(parsed, topic, payload, retained)
        elif not retained:  # a retained command may be of any age
            self._commands.submit(parsed, payload)

    def _read(self, why: str) -> None:
        """Tells that the node cannot be read any more, or can again."""
        code, message = (Code.MODEL_FAILED, why) if why else (Code.MODEL_UP, "the node can be read")
        self._emit(Event(code, "", message))

    def _refuse(self, camera: str | None, message: str) -> None:
        self._emit(Event(Code.CMD_REFUSED, camera or "", message))

    def _report(self, code: Code, message: str, every_s: float | None = None) -> None:
        """Emits the broker's state, once for each change."""
        if (code, message) != self._reported:
            self._reported = code, message
            address = f"{self._settings.host}:{port_of(self._settings)}"
            doing = "" if every_s is None else f"tried again every {every_s:g} s"
            self._emit(Event(code, "", f"broker {address}: {message}", doing=doing))
