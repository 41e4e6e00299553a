"""Who may ask: the token, and the pages that a browser may be on when it asks."""

import hmac
import ipaddress
from collections import OrderedDict, deque
from urllib.parse import urlsplit

from aiohttp import web
from yarl import URL

__all__ = ["Failures", "Guard", "is_loopback"]

FAILURES = 10  # wrong tokens that one address may send ...
WINDOW_S = 60.0  # ... within this time
ADDRESSES = 1000  # how many are remembered
OPEN = ("/api/", "/whep/")  # what the token protects: the rest holds nothing of anyone's


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Failures:
    """Counts the failures of each address. Pure: time comes in as an argument."""

    def __init__(self) -> None:
        self._times_s: OrderedDict[str, deque[float]] = OrderedDict()

    def blocked(self, address: str, now_s: float) -> bool:
        """Whether this address has failed too often."""
        times_s = self._times_s.get(address, ())
        return sum(now_s - time_s < WINDOW_S for time_s in times_s) >= FAILURES

    def add(self, address: str, now_s: float) -> None:
        self._times_s.setdefault(address, deque(maxlen=FAILURES)).append(now_s)
        self._times_s.move_to_end(address)
        if len(self._times_s) > ADDRESSES:
            self._times_s.popitem(last=False)


class Guard:
    """Turns away requests that have no business here.

    With a token, /api and /whep need ``Authorization: Bearer <token>`` (RFC 6750). Without one the
    server is for this machine alone, and the Host must say so: a page from elsewhere could have its
    own name point to 127.0.0.1 and read the video (DNS rebinding).
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._failures = Failures()

    def check(self, request: web.Request, now_s: float) -> None:
        """Raises HTTPForbidden, HTTPUnauthorized or HTTPTooManyRequests."""
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
            raise web.HTTPForbidden(text="requests from other sites are not taken")
        if self._token is None:
            if not is_loopback(_hostname(request)):
                raise web.HTTPForbidden(text="without a token this server is for localhost only")
        elif request.path.startswith(OPEN):
            self._check_token(request, self._token, now_s)

    def _check_token(self, request: web.Request, token: str, now_s: float) -> None:
        address = request.remote or ""
        if self._failures.blocked(address, now_s):
            raise web.HTTPTooManyRequests(
                text="too many wrong tokens", headers={"Retry-After": "60"}
            )
        got = request.headers.get("Authorization", "")
        if not hmac.compare_digest(
            got.encode(errors="surrogateescape"), f"Bearer {token}".encode()
        ):
            if got:  # without any it is no guess
                self._failures.add(address, now_s)
            raise web.HTTPUnauthorized(
                text="a token is needed", headers={"WWW-Authenticate": "Bearer"}
            )


def _hostname(request: web.Request) -> str:
    try:
        return URL(f"http://{request.headers.get('Host', '')}").host or ""
    except ValueError:
        return ""
