"""Which names and pages requests may come by, and what browsers are told of it. Pure."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from streamsr.serve.access.forwarded import Arrival, is_loopback

__all__ = ["OWN_SITE", "READING", "Origins"]

READING = ("GET", "HEAD", "OPTIONS")
OWN_SITE = (None, "same-origin", "none")  # of Sec-Fetch-Site; "none" is the address bar
SHOWN = 80  # characters of what a client sent
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ASKING = "Authorization, Content-Type, Range, If-Match, If-None-Match, Last-Event-ID, Cache-Control"
ANSWERING = "Location, Link, ETag, Accept-Patch, Accept-Ranges, Content-Range, Retry-After"
AGE_S = 600  # for which a browser remembers what it may ask

Headers = Mapping[str, str]


class Origins:
    """The origins whose pages may ask, embed and frame what is here: its own, and ``allowed``."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """``allowed`` are origins as browsers send them, as in https://home.example."""
        self.allowed = frozenset(allowed)
        self._names = {_name(origin.partition("://")[2]) for origin in self.allowed}

    def refuse_host(self, headers: Headers, arrival: Arrival) -> str | None:
        """Why a server without a token does not answer to this Host; None where it does.

        It is for this machine alone: a page from elsewhere could have its own name point here, and
        read the video (DNS rebinding). What a proxy says of the Host does not stand in for it, but
        must be allowed as well: many pass on what the client says.
        """
        for host in (headers.get("Host", ""), arrival.host or "localhost"):
            if not is_loopback(_name(host)) and _name(host) not in self._names:
                return (
                    f"got the Host {host[:SHOWN]!r}; without a token allowed are localhost, "
                    "127.0.0.1, [::1] and the hosts of serve.allowed_origins: list the page's "
                    "origin there, or set serve.token_file"
                )
        return None

    def refuse_site(
        self, method: str, headers: Headers, arrival: Arrival, *, has_token: bool
    ) -> str | None:
        """Why what a page of another site asks is refused; None where it is taken.

        A browser sends Basic along with what pages of other sites ask of us too (CSRF). It says
        by Sec-Fetch-Site, which no page can set, that one is of our own site: whatever a proxy made
        of the Host then. Without a token the page's name must be this machine's besides.
        """
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
        if origin is None:
            if method in READING or site in OWN_SITE:
                return None
            return f"got Sec-Fetch-Site {site!r:.80}, allowed is a page of this server's own"
        origin, hosts = origin.lower(), (headers.get("Host", "").lower(), arrival.host)
        own = {f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts if host}
        named_here = has_token or is_loopback(_name(origin.partition("://")[2]))
        if origin in own | self.allowed or (site == "same-origin" and named_here):
            return None
        return (
            f"got the Origin {origin[:SHOWN]!r} for the Host {hosts[0][:SHOWN]!r}; allowed are a "
            "page of that Host and serve.allowed_origins: have the proxy pass the Host on (nginx: "
            "proxy_set_header Host $http_host), or list the origin there"
        )

    def is_preflight(self, method: str, headers: Headers) -> bool:
        """Whether a browser asks if a page of an allowed origin may ask something.

        It sends no token along (Fetch, 4.8).
        """
        asks = "Access-Control-Request-Method" in headers
        return method == "OPTIONS" and asks and headers.get("Origin", "").lower() in self.allowed

    def answer(self, method: str, headers: Headers) -> dict[str, str]:
        """The headers of an answer that say which pages may have it (Fetch, 3.3 and 3.7)."""
        found = {
            "Cross-Origin-Resource-Policy": "same-origin",
            "Content-Security-Policy": " ".join([POLICY, *sorted(self.allowed)]),
        }
        if not self.allowed:
            return found
        origin = headers.get("Origin", "").lower()
        # An image, a video or a frame is asked for without an Origin, as a rule.
        if origin in self.allowed or (not origin and _origin_of(headers) in self.allowed):
            found["Cross-Origin-Resource-Policy"] = "cross-origin"
        found["Vary"] = "Origin, Referer"
        if origin in self.allowed:
            found["Access-Control-Allow-Origin"] = headers["Origin"]
            found["Access-Control-Allow-Credentials"] = "true"
            found["Access-Control-Expose-Headers"] = ANSWERING
        if self.is_preflight(method, headers):
            found["Access-Control-Allow-Methods"] = METHODS
            found["Access-Control-Allow-Headers"] = ASKING
            found["Access-Control-Max-Age"] = str(AGE_S)
            found["Access-Control-Allow-Private-Network"] = "true"
        return found


POLICY = (
    "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def _origin_of(headers: Headers) -> str:
    """The origin of the page that asks, where it says so."""
    scheme, separator, rest = headers.get("Referer", "").lower().partition("://")
    return f"{scheme}://{rest.partition('/')[0]}" if separator else ""


def _name(address: str) -> str:
    """The host of HOST[:PORT]; empty where it is none."""
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""
