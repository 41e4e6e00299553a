"""Where a connection's UDP sockets are: on which interfaces and ports, and what viewers are told.

aioice binds each to a port that the system picks, on every interface there is. It has no settings
for that, so a connection's gathering is replaced by the one here (RFC 8445, 5.1).
"""

import asyncio
import errno
import ipaddress
import logging
import random
import socket
from collections.abc import Coroutine, Sequence
from fnmatch import fnmatch
from typing import Any

import ifaddr
from aioice import Candidate, Connection
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, relayed_candidate, server_reflexive_candidate
from aioice.turn import (
    DEFAULT_ALLOCATION_LIFETIME,
    DEFAULT_CHANNEL_REFRESH_TIME,
    UDP_SOCKET_BUFFER_SIZE,
    TurnClientUdpProtocol,
    TurnTransport,
)
from aiortc import RTCIceServer, RTCRtpTransceiver

from streamsr.core.settings import WebRtcSettings
from streamsr.serve.webrtc.ice_servers import IceServers

__all__ = ["IceNetwork", "NoPortError"]

VIRTUAL = ("docker*", "br-*", "veth*", "virbr*", "vnet*", "cni*", "flannel*", "cali*", "podman*")
SERVERS_S = 2.0  # for STUN and TURN servers to answer: the viewer waits as long
PREFERENCE = 65535  # of a local address (RFC 8445, 5.1.2.1), the highest there is

log = logging.getLogger(__name__)


class NoPortError(Exception):
    """All UDP ports that are allowed are in use. Its text is for people."""


class IceNetwork:
    """Gathers the candidates of connections, as [webrtc] says."""

    def __init__(self, settings: WebRtcSettings | None = None) -> None:
        """Raises ConfigError for a credential of a TURN server that cannot be read."""
        self._settings = settings or WebRtcSettings()
        self._servers = IceServers(self._settings.ice_servers)

    def servers(self) -> list[RTCIceServer]:
        """The STUN and TURN servers that a connection may use."""
        return self._servers.get()

    def servers_as_json(self) -> list[dict[str, object]]:
        """The same for a browser."""
        return self._servers.as_json()

    def servers_as_links(self) -> list[str]:
        """The same as Link headers."""
        return self._servers.as_links()

    def attach(self, transceiver: RTCRtpTransceiver) -> None:
        """Makes the connection of ``transceiver`` gather as the settings say.

        Setting its local description then raises NoPortError where no port is free.
        """
        connection = transceiver.receiver.transport.transport.iceGatherer._connection

        async def gather(component: int, addresses: list[str]) -> list[Candidate]:
            return await self._gather(connection, component)

        connection.get_component_candidates = gather  # type: ignore[assignment,method-assign]

    async def _gather(self, connection: Connection, component: int) -> list[Candidate]:
        protocols = await self._bind(connection, component)
        hosts = [protocol.local_candidate for protocol in protocols]
        coroutines = self._asking(connection, component, protocols)
        tasks = [asyncio.create_task(c, name="ICE server") for c in coroutines]
        found: list[Candidate] = []
        if tasks:
            done, late = await asyncio.wait(tasks, timeout=SERVERS_S)
            for task in late:
                task.cancel()
            for task in done:
                error = task.exception()
                if error is None:
                    candidate, protocol = task.result()
                    found.append(candidate)
                    connection._protocols += [protocol] if protocol is not None else []
            if missing := len(tasks) - len(found):
                log.warning(
                    "webrtc.ice_servers: %d of %d requests to STUN and TURN servers failed, or had "
                    "no answer in %g s",
                    *(missing, len(tasks), SERVERS_S),
                )
        return [*self._announced(hosts), *hosts, *found]

    async def _bind(self, connection: Connection, component: int) -> list[StunProtocol]:
        """Opens a socket on every address. Raises NoPortError where no port is free on any."""
        protocols, full = [], False
        for address in _local_addresses(self._settings.interfaces):
            try:
                sock = self._socket(address)
            except NoPortError:
                full = True
                continue
            except OSError as error:  # an address that has gone
                log.info("WebRTC cannot use %s: %s", address, error.strerror)
                continue
            host, port = sock.getsockname()[:2]
            _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: StunProtocol(connection), sock=sock
            )
            connection._protocols.append(protocol)  # from now on it closes this one
            protocol.local_candidate = _host_candidate(component, host, port)
            protocols.append(protocol)
        if full and not protocols:
            raise NoPortError(
                f"no UDP port is free, allowed are {self._settings.udp_ports} (webrtc.udp_ports)"
            )
        return protocols

    def _socket(self, address: str) -> socket.socket:
        """A socket bound to a free port of the range. Raises NoPortError, or OSError."""
        ports = self._settings.ports
        first = random.randrange(len(ports))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for number in range(len(ports)):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.setblocking(False)
                sock.bind((address, ports[(first + number) % len(ports)]))
            except OSError as error:
                sock.close()
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_SOCKET_BUFFER_SIZE)
                return sock
        raise NoPortError

    def _announced(self, hosts: Sequence[Candidate]) -> list[Candidate]:
        """Candidates of the addresses under which the sockets are reached from elsewhere."""
        return [
            _host_candidate(host.component, address, host.port, preference=PREFERENCE - number)
            for number, address in enumerate(self._settings.announce)
            for host in hosts
            if (":" in address) == (":" in host.host)
        ]

    def _asking(
        self, connection: Connection, component: int, protocols: Sequence[StunProtocol]
    ) -> list[Coroutine[Any, Any, tuple[Candidate, StunProtocol | None]]]:
        """The requests to STUN and TURN servers, not yet begun."""
        requests: list[Coroutine[Any, Any, tuple[Candidate, StunProtocol | None]]] = []
        if connection.stun_server:
            requests += [
                server_reflexive_candidate(protocol, connection.stun_server)
                for protocol in protocols
                if ":" not in protocol.local_candidate.host
            ]
        if connection.turn_server and connection.turn_transport == "udp":
            requests.append(self._relayed(connection, component))
        elif connection.turn_server:
            requests.append(
                relayed_candidate(
                    component=component,
                    hide_related_address=False,
                    protocol_factory=lambda: StunProtocol(connection),
                    turn_server=connection.turn_server,
                    turn_username=connection.turn_username,
                    turn_password=connection.turn_password,
                    turn_ssl=connection.turn_ssl,
                    turn_transport=connection.turn_transport,
                )
            )
        return requests

    async def _relayed(
        self, connection: Connection, component: int
    ) -> tuple[Candidate, StunProtocol]:
        """Allocates an address at the TURN server (RFC 8656), from a port of the range.

        aioice's own way to do so takes any port. Raises OSError, NoPortError or one of aioice's.
        """
        loop = asyncio.get_running_loop()
        assert connection.turn_server is not None
        host, port = connection.turn_server
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, server = found[0][0], (str(found[0][4][0]), port)
        sock = self._socket("::" if family == socket.AF_INET6 else "0.0.0.0")
        sock.connect(server)  # of UDP: it does not wait
        client_transport, client = await loop.create_datagram_endpoint(
            lambda: TurnClientUdpProtocol(
                server,
                username=connection.turn_username,
                password=connection.turn_password,
                lifetime=DEFAULT_ALLOCATION_LIFETIME,
                channel_refresh_time=DEFAULT_CHANNEL_REFRESH_TIME,
            ),
            sock=sock,
        )
        try:
            protocol, transport = StunProtocol(connection), TurnTransport(client)
            await transport._connect(protocol)
        except BaseException:  # a cancellation too, where it takes too long
            client_transport.close()
            raise
        host, port = transport.get_extra_info("sockname")
        related, related_port = transport.get_extra_info("related_address")
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("relay", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "relay"),
            host=host,
            port=port,
            type="relay",
            related_address=related,
            related_port=related_port,
        )
        return protocol.local_candidate, protocol


def _host_candidate(
    component: int, host: str, port: int, preference: int = PREFERENCE
) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", host),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host", preference),
        host=host,
        port=port,
        type="host",
    )


def _local_addresses(interfaces: Sequence[str]) -> list[str]:
    """The addresses of the interfaces with these names, or of all that lead out of this machine.

    Only where there are none is 127.0.0.1 one: a viewer beside the server reaches it there.
    Link-local addresses are none, since browsers do not use theirs (RFC 8445, 5.1.1.1).
    """
    found = []
    for adapter in ifaddr.get_adapters():
        patterns = interfaces or VIRTUAL
        if any(fnmatch(adapter.name, pattern) for pattern in patterns) != bool(interfaces):
            continue
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if not address.is_link_local and (interfaces or not address.is_loopback):
                found.append(str(address))
    return found or ["127.0.0.1"]
