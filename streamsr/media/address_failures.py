"""What a failure at an address means, in words that say what to change."""

import errno
import socket
from urllib.parse import urlsplit

import av

from streamsr.core.errors import SourceAuthError, SourceError
from streamsr.core.live_address import SPELT
from streamsr.core.redact import redact
from streamsr.media.container import reason_of

__all__ = ["failure_at"]

PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}
SECURED = {"rtsps": "rtsp", "rtmps": "rtmp", "https": "http"}  # the scheme without TLS
LOGIN = "put USER:PASSWORD@ before the host"
REFUSED = av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError
ANSWERS = (  # what a server answers, RTSP's too
    (av.error.HTTPBadRequestError, "it does not understand the request (400)"),
    (av.error.HTTPTooManyRequestsError, "it is asked too often (429): try again later"),
    (av.error.HTTPClientError, "it refuses what is asked for (4XX): check the path"),
    (av.error.HTTPServerError, "its server fails (5XX): look there for why, or try again later"),
    (av.error.EOFError, "it hung up without an answer: check the scheme and the port"),
    (ConnectionResetError, "it hung up without an answer: check the scheme and the port"),
    (av.error.InvalidDataError, "what it sends is no video that can be read: check the path"),
)


def failure_at(url: str, error: Exception) -> SourceError:
    """Returns what FFmpeg or PyAV raised at an address, or at a path, which has only a reason."""
    place = urlsplit(url if "://" in url else "")
    host, port = place.hostname or "", place.port or PORTS.get(place.scheme, 0)
    if isinstance(error, REFUSED):
        return _refusal(error, place.scheme, logged_in=place.username is not None)
    if isinstance(error, av.error.ExitError | TimeoutError):
        return SourceError("it says nothing any more")
    if isinstance(error, av.error.HTTPNotFoundError):
        path = redact(place.path or "/")
        return SourceError(f"there is no stream at its path {path!r}: check the path")
    if not place.scheme:
        return SourceError(reason_of(error))
    if isinstance(error, ConnectionRefusedError):
        return SourceError(f"refused: nothing listens at {host} port {port}: check the port")
    code = getattr(error, "errno", None)
    if code in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return SourceError(f"there is no way to {host}: check the address and the network")
    if code == errno.EIO and not _is_known(host):
        hint = f"; {SPELT}" if "@" in place.path + place.query + place.fragment else ""
        return SourceError(f"there is no host named {host!r}: check the name{hint}")
    if code == errno.EIO and place.scheme in SECURED:
        plain = SECURED[place.scheme]
        return SourceError(
            f"no TLS at {host} port {port}: check the port, and whether it is {plain}://"
        )
    said = (words for kind, words in ANSWERS if isinstance(error, kind))
    return SourceError(next(said, reason_of(error)))


def _refusal(error: Exception, scheme: str, *, logged_in: bool) -> SourceAuthError:
    if logged_in:
        return SourceAuthError("it refuses the user name or password")
    if isinstance(error, av.error.HTTPForbiddenError) and scheme.startswith("http"):
        return SourceAuthError(f"it forbids to read that (403): check the path, or {LOGIN}")
    return SourceAuthError(f"it asks for a user name and password: {LOGIN}")


def _is_known(host: str) -> bool:
    """Whether a name resolves. It takes as long as the system's resolver does."""
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False
