"""Who may ask, how often, and which pages a browser may be on when it asks."""

import hmac
import ipaddress

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from streamsr.serve.credentials import check_token, presented_token
from streamsr.serve.rate_limit import Failures, Rates, asker

__all__ = ["Guard", "is_loopback"]

OPEN = "/livez"  # for whoever watches over the process; it says nothing of anyone's

# Eight pages that play HLS and show sixteen cameras ask for about 60 things a second. Behind a
# proxy all viewers have its address, which is this machine's as a rule.
PER_S, BURST = 50.0, 200
LOCAL_PER_S, LOCAL_BURST = 200.0, 1000

READING = ("GET", "HEAD", "OPTIONS")
OWN_SITE = (None, "same-origin", "none")  # of Sec-Fetch-Site; "none" is the address bar
CHALLENGE = 'Basic realm="streamsr", charset="UTF-8"', 'Bearer realm="streamsr"'


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """Turns away requests that have no business here.

    With a token, all but /livez need it, whatever they ask for: as ``Authorization: Bearer``, or
    as the password of Basic, for which browsers ask. Without one the server is for this machine
    alone, and the Host must say so: a page from elsewhere could have its own name point to
    127.0.0.1 and read the video (DNS rebinding). A browser sends Basic along with what pages of
    other sites ask of us too, so these are told apart (CSRF).
    """

    def __init__(self, token: str | None) -> None:
        """Raises ConfigError for a token that is too short."""
        if token is not None:
            check_token(token, "token")
        self._token = token
        self._failures = Failures()
        self._rates = Rates(PER_S, BURST)
        self._local_rates = Rates(LOCAL_PER_S, LOCAL_BURST)

    def check(self, request: web.Request, now_s: float) -> None:
        """Raises HTTPForbidden, HTTPUnauthorized or HTTPTooManyRequests."""
        if request.path != OPEN:
            address = asker(request.remote or "")
            self._check_rate(address, now_s)
            if self._token is not None:
                self._check_token(request, self._token, address, now_s)
        if self._token is None and not is_loopback(_hostname(request)):
            raise web.HTTPForbidden(text="without a token this server is for localhost only")
        _check_site(request)

    def _check_rate(self, address: str, now_s: float) -> None:
        rates = self._local_rates if is_loopback(address) else self._rates
        wait_s = rates.wait_s(address, now_s)
        if wait_s:
            raise web.HTTPTooManyRequests(
                text="too many requests", headers={"Retry-After": str(wait_s)}
            )

    def _check_token(self, request: web.Request, token: str, address: str, now_s: float) -> None:
        if self._failures.blocked(address, now_s):
            raise web.HTTPTooManyRequests(
                text="too many wrong tokens", headers={"Retry-After": "60"}
            )
        header = request.headers.get("Authorization", "")
        got = presented_token(header) or ""
        if not hmac.compare_digest(got.encode(errors="surrogateescape"), token.encode()):
            if header:  # without any it is no guess
                self._failures.add(address, now_s)
            challenge = CIMultiDict(("WWW-Authenticate", scheme) for scheme in CHALLENGE)
            raise web.HTTPUnauthorized(text="a token is needed", headers=challenge)


def _check_site(request: web.Request) -> None:
    """Refuse what a page of another site asks, and any writing for which it may have asked."""
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    own = origin is None or origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())
    site = request.headers.get("Sec-Fetch-Site")
    if not own or (request.method not in READING and site not in OWN_SITE):
        raise web.HTTPForbidden(text="requests from other sites are not taken")


def _hostname(request: web.Request) -> str:
    try:
        return URL(f"http://{request.headers.get('Host', '')}").host or ""
    except ValueError:
        return ""
