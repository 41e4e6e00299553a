"""The web server and the MQTT client of a node, as its settings say.

A node without [serve] or [mqtt] does not load what those need.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from streamsr.control.node_api import NodeApi
from streamsr.core.events.journal import Journal
from streamsr.core.settings import NodeSettings
from streamsr.node.check import warn_of_unserved
from streamsr.serve.served import Served

if TYPE_CHECKING:
    from streamsr.mqtt.client import MqttClient
    from streamsr.serve.app import Server

__all__ = ["mqtt_client", "web_server"]


def web_server(
    settings: NodeSettings, node: NodeApi, served: Mapping[str, Served], journal: Journal
) -> "Server | None":
    """Returns the server of ``served``, whose API steers ``node``; None without [serve].

    Raises ConfigError.
    """
    serve = settings.serve
    if serve is None:
        warn_of_unserved(settings.streams)
        return None
    from streamsr.serve.access.access import Access

    access = Access.of(serve)
    access.check_exposure(serve.host)  # before WebRTC is imported, and PyAV with it
    from streamsr.serve.access.rate_limit import ServerLimits
    from streamsr.serve.app import Server

    server = Server(
        served,
        host=serve.host,
        port=serve.port,
        access=access,
        limits=ServerLimits(viewers=serve.max_viewers),
        events=lambda: journal.counts,
        emit=journal,
        webrtc=settings.webrtc,
        prefer=serve.prefer,
        node=node,
    )
    journal.listeners.append(server.feed.event)
    return server


def mqtt_client(settings: NodeSettings, node: NodeApi, journal: Journal) -> "MqttClient | None":
    """Returns the client that steers ``node``; None without [mqtt]. Raises ConfigError."""
    if settings.mqtt is None:
        return None
    from streamsr.mqtt.client import MqttClient

    client = MqttClient(settings.mqtt, settings.name, node, journal)
    journal.listeners.append(client.event)
    return client
