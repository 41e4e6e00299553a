"""The node at its broker: comes back for ever, and takes leave when it is stopped.

Waits for nothing that video waits for: all that is queued here is bounded, and the broker may be
away for as long as it likes.
"""

import asyncio
import logging
from contextlib import suppress
from time import monotonic

from streamsr.core.backoff import Backoff
from streamsr.core.events import Code, Emit, Event, EventLog
from streamsr.core.settings import MqttSettings
from streamsr.mqtt.connection import BrokerAuthError, BrokerError, Connection, port_of
from streamsr.mqtt.credentials import read_access
from streamsr.mqtt.messages import OFFLINE
from streamsr.mqtt.node_api import NodeApi
from streamsr.mqtt.runner import Runner
from streamsr.mqtt.sight import NodeSnapshot
from streamsr.mqtt.state_publisher import Publisher
from streamsr.mqtt.topics import About, Topics

__all__ = ["MqttClient"]

OURS = "mqtt"  # stands for the stream in events that are about none
FIRST_S, LAST_S = 0.5, 3.0  # between tries to connect
REFUSED_S = 30.0  # the same where the broker refuses the password: it may count
STEADY_S = 5.0  # a connection that lasted so long was a good one
LEAVE_S = 1.0  # for saying goodbye

log = logging.getLogger(__name__)


class MqttClient:
    """Publishes what ``target`` does and has it do what is commanded. ``await run()`` it."""

    def __init__(
        self, settings: MqttSettings, node: str, target: NodeApi, emit: Emit | None = None
    ) -> None:
        """``emit`` takes control's own events, and is expected to give all events to ``event``;
        left out: they are logged and published from here. Raises ConfigError as check_mqtt does.
        """
        self.connected = False
        self._settings = settings
        self._access = read_access(settings)
        self._topics = Topics(settings.prefix, node, settings.discovery_prefix)
        self._log = EventLog(monotonic)
        self._emit = emit or self._log_and_tell
        sight = NodeSnapshot(target, self._report_blind)
        self._runner = Runner(target, sight, self._refuse, self.changed)
        self._publisher = Publisher(settings, self._topics, sight, self._runner.snapshots)
        self._said: tuple[Code, str] | None = None  # of the broker, last

    def event(self, event: Event) -> None:
        """Publish an event soon, or once the broker is back: the newest 32 wait for it.

        A code of one stream goes out once a second at most.
        """
        self._publisher.event(event)

    def changed(self) -> None:
        """Something about the cameras has changed: publish it now and not half a second later."""
        self._publisher.changed()

    async def run(self) -> None:
        """Go on until cancelled, then take leave of the broker within a second."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._runner.run(), name="mqtt-commands")
            group.create_task(self._come_back(), name="mqtt-broker")

    async def _come_back(self) -> None:
        """Connect, again and again."""
        backoff = Backoff(FIRST_S, LAST_S)
        while True:
            began_s, wait_s = monotonic(), None
            try:
                await self._visit()
            except BrokerAuthError as error:
                wait_s = REFUSED_S
                self._report(Code.MQTT_AUTH, f"{error}; trying again every {wait_s:.0f} s")
            except BrokerError as error:
                self._report(Code.MQTT_DOWN, f"{error}; trying again")
            except Exception:
                # Control supervises itself: whatever is wrong with it must not end the video.
                log.exception("control failed; it starts again")
            if monotonic() - began_s > STEADY_S:
                backoff.succeeded()
            await asyncio.sleep(backoff.next_s() if wait_s is None else wait_s)

    async def _visit(self) -> None:
        """One connection, until it is lost. Raises BrokerError."""
        topics, settings = self._topics, self._settings
        name = topics.root.replace("/", "-")
        connection = Connection(settings, self._access, name, topics.availability, self._take)
        try:
            await connection.open()
            self._publisher.begin()
            await connection.subscribe(topics.subscriptions(settings.discovery))
            self.connected = True
            self._report(Code.MQTT_UP, "connected")
            await _until_one_ends(
                asyncio.create_task(connection.lost(), name="mqtt-reader"),
                asyncio.create_task(self._publisher.run(connection), name="mqtt-publisher"),
            )
        except asyncio.CancelledError:
            if self.connected:
                await self._leave(connection)
            raise
        finally:
            self.connected = False
            await connection.drop()

    async def _leave(self, connection: Connection) -> None:
        with suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await connection.publish(self._topics.availability, OFFLINE, qos=1, retain=True)
                await connection.close()

    def _take(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message has come: understand it and be done, there may be a thousand a second."""
        heard = self._topics.parse(topic)
        if heard is None:
            return
        if heard.about is not About.COMMAND:
            self._publisher.heard(heard, topic, payload, retained)
        elif not retained:  # else it is of nobody knows when
            self._runner.ask(heard, payload)

    def _refuse(self, camera: str | None, message: str) -> None:
        self._emit(Event(Code.CMD_REFUSED, camera or OURS, message))

    def _report_blind(self, message: str) -> None:
        self._emit(Event(Code.MODEL_FAILED, OURS, message))

    def _report(self, code: Code, message: str) -> None:
        """Say how it stands with the broker, once for each change."""
        if (code, message) != self._said:
            self._said = code, message
            where = f"{self._settings.host}:{port_of(self._settings)}"
            self._emit(Event(code, OURS, f"broker {where}: {message}"))

    def _log_and_tell(self, event: Event) -> None:
        self._log(event)
        self.event(event)


async def _until_one_ends(*tasks: asyncio.Task[None]) -> None:
    """Raise as the first one does. A TaskGroup whose task fails in the moment of our own
    cancellation would forget the latter, and we would never leave."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
