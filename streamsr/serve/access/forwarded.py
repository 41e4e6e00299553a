"""Where a request comes from, before any proxy that is trusted to say so. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

__all__ = ["ARRIVAL", "Arrival", "TrustedProxies", "is_loopback"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Headers = CIMultiDictProxy[str] | CIMultiDict[str]

PAIR = re.compile(  # of RFC 7239, 4
    r"\s*(?P<name>[A-Za-z]+)=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^;,\"\s]*))\s*"
    r"(?P<end>[;,]|$)"
)
PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a client sent a request. What a proxy did not say is empty."""

    client: str  # its address
    scheme: str = ""
    host: str = ""  # as in the Host header
    prefix: str = ""  # "/PATH" that a proxy has taken off


ARRIVAL: Final = web.RequestKey("arrival", Arrival)


@dataclass(frozen=True, slots=True)
class _Hop:
    """What one proxy says of who asked it."""

    client: str
    scheme: str = ""
    host: str = ""


class TrustedProxies:
    """The proxies whose word is taken on where a request comes from.

    X-Forwarded-For, or where there is none Forwarded (RFC 7239), is read from the right, where the
    proxy next to us has written, for as long as the one who wrote is trusted: what stands further
    left came with the request. Of both the former is what proxies write; these pass on the other
    one as it came, from whoever wants to be taken for somebody else.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """``networks`` are addresses, or networks as in 10.0.0.0/8. Raises ValueError."""
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Whether it is the address of such a proxy."""
        found = _address(address)
        return found is not None and any(found in network for network in self._networks)

    def arrival(self, peer: str, headers: Headers) -> Arrival:
        """How the client sent the request that ``peer``, an address, has sent us."""
        if not self.trusts(peer):
            return Arrival(peer)
        standard = [] if "X-Forwarded-For" in headers else _by_rfc_7239(headers)
        hops = standard or _by_lists(headers)
        hop = self._outermost(hops) if hops else _Hop("")
        return Arrival(hop.client or peer, hop.scheme, hop.host, _prefix(headers))

    def _outermost(self, hops: Sequence[_Hop]) -> _Hop:
        """From the right, the hop of the first client that is no trusted proxy."""
        found = _Hop("", hops[-1].scheme, hops[-1].host)
        for hop in reversed(hops):
            if _address(hop.client) is None:
                break  # "unknown", or a name that only the proxy understands
            found = hop
            if not self.trusts(hop.client):
                break
        return found


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _by_lists(headers: Headers) -> list[_Hop]:
    """The hops that X-Forwarded-For, -Proto and -Host tell of, one where they are no lists."""
    clients, schemes, hosts = (
        [
            part.strip()
            for line in headers.getall(f"X-Forwarded-{name}", [])
            for part in line.split(",")
        ]
        for name in ("For", "Proto", "Host")
    )
    if not (clients or schemes or hosts):
        return []
    count = max(1, len(clients))
    return [
        _Hop(_bare(_nth(clients, n)), _scheme(_nth(schemes, n)), _host(_nth(hosts, n)))
        for n in range(-count, 0)
    ]


def _nth(parts: Sequence[str], from_right: int) -> str:
    """Counted from the right, -1 first; the first of all where there are fewer."""
    return parts[max(from_right, -len(parts))] if parts else ""


def _by_rfc_7239(headers: Headers) -> list[_Hop]:
    """The hops of Forwarded; none where it is malformed."""
    text, at, hops, pairs = ", ".join(headers.getall("Forwarded", [])), 0, [], {}
    while at < len(text):
        pair = PAIR.match(text, at)
        if pair is None:
            return []
        quoted = pair["quoted"]
        plain = pair["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        pairs[pair["name"].lower()] = plain
        at = pair.end()
        if pair["end"] != ";":
            client, scheme, host = (pairs.get(name, "") for name in ("for", "proto", "host"))
            hops.append(_Hop(_bare(client), _scheme(scheme), _host(host)))
            pairs = {}
    return hops


def _bare(node: str) -> str:
    """An address without the port that may follow it, an IPv6 one without brackets."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _scheme(text: str) -> str:
    return text.lower() if text.lower() in ("http", "https") else ""


def _host(text: str) -> str:
    return text.lower() if HOST.fullmatch(text) else ""


def _prefix(headers: Headers) -> str:
    """Of several proxies that took off some, all of it."""
    parts = ",".join(headers.getall("X-Forwarded-Prefix", [])).split(",")
    text = "".join(part.strip().rstrip("/") for part in parts)
    return text if PREFIX.fullmatch(text) else ""
