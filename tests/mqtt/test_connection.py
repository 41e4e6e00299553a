"""One connection: how its end is reported, and that nothing is left of it."""

import asyncio
import os
import threading
from collections.abc import Callable

import pytest
from peers import MuteServer, TcpProxy
from peers.mosquitto import HOST, Mosquitto, free_port
from peers.waiting import until

from streamsr.core.settings import MqttSettings
from streamsr.mqtt.connection import BrokerAuthError, Connection, MqttError
from streamsr.mqtt.credentials import Credentials
from streamsr.mqtt.topics import Topics

Brokers = Callable[..., Mosquitto]


def connection(port: int, host: str = HOST, answer_s: float = 5.0) -> Connection:
    settings = MqttSettings(host=host, port=port, keepalive_s=2)
    topics = Topics("a", "b", "homeassistant")
    return Connection(settings, Credentials(None, None), topics, lambda *_: None, answer_s=answer_s)


async def test_nobody_is_there() -> None:
    for host in (HOST, "nobody.invalid", "a..b", "x" * 300):
        never = connection(free_port(), host)
        with pytest.raises(MqttError):
            await never.open()
        await never.drop()


async def test_a_broker_that_wants_a_password(broker: Brokers) -> None:
    refused = connection(broker(user="me", password="secret").port)
    with pytest.raises(BrokerAuthError, match="Not authorized"):
        await refused.open()
    await refused.drop()


async def test_a_lost_connection_is_not_taken_for_a_refused_one(broker: Brokers) -> None:
    at = broker()
    lost = connection(at.port)
    await lost.open()
    at.kill()
    with pytest.raises(MqttError) as error:
        await lost.wait_lost()
    assert not isinstance(error.value, BrokerAuthError)
    for work in (lost.publish("a/b", b"", qos=1), lost.subscribe("a/#")):
        with pytest.raises(MqttError) as error:  # paho's number for it is that of a bad password
            await work
        assert not isinstance(error.value, BrokerAuthError)
    await lost.drop()


async def test_a_server_that_never_answers() -> None:
    with MuteServer() as mute:
        waiting = connection(mute.port, answer_s=0.2)
        with pytest.raises(MqttError, match="no answer in time"):
            await waiting.open()
        await waiting.drop()
        cancelled = connection(mute.port)
        opening = asyncio.create_task(cancelled.open())
        await until(lambda: mute.connections == 2)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await cancelled.drop()


async def test_a_cancellation_is_not_lost_over_an_answer(broker: Brokers) -> None:
    one, both = connection(broker().port), 0
    await one.open()
    for _ in range(100):
        publishing = asyncio.create_task(one.publish("a/b", b"x", qos=1))
        await asyncio.sleep(0)
        while one._pending_publishes:  # noqa: ASYNC110 - each step of the loop counts
            await asyncio.sleep(0)
        if publishing.cancel():  # in the very step in which the answer came
            both += 1
            with pytest.raises(asyncio.CancelledError):
                await publishing
    assert both
    await one.drop()


async def test_nothing_is_left_of_many(broker: Brokers) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with TcpProxy(broker().port) as proxy:
        for number in range(60):
            if number == 10:
                files = open_files()
            one = connection(proxy.port)
            await one.open()
            publishing = asyncio.create_task(one.publish("a/b", b"x", qos=1))
            if number % 3 == 0:
                proxy.reset()
                with pytest.raises(MqttError):
                    await one.wait_lost()
            elif number % 3 == 1:
                await one.close()
            await one.drop()
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
        await until(lambda: open_files() <= files + 2)
    await until(lambda: not [t for t in threading.enumerate() if t.name == "streamsr-mqtt"])
