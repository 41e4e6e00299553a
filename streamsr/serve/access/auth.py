"""Access to the server: its token and certificate, and which requests are refused.

Never says a secret in an error.
"""

import asyncio
import hmac
import ipaddress
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import BasicAuth, web
from aiohttp.typedefs import Handler

from streamsr.core.errors import ConfigError
from streamsr.core.redact import protect_word
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.rate_limit import FailureLimit, RateLimit, ServerLimits, client_of
from streamsr.serve.access.roles import ROLE

__all__ = [
    "AccessControl",
    "check_exposure",
    "is_loopback",
    "make_tls",
    "presented_token",
    "read_token",
]

VARIABLE = "STREAMSR_TOKEN"
SHORTEST = 16  # characters of a token
SELF_SIGNED = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 "
    "-subj /CN=streamsr -keyout key.pem -out certificate.pem"
)
OPEN = "/livez"  # for supervisors of the process: it tells nothing of any stream
READING = ("GET", "HEAD", "OPTIONS")
OWN_SITE = (None, "same-origin", "none")  # of Sec-Fetch-Site; "none" is the address bar
CHALLENGES = tuple(
    ("WWW-Authenticate", challenge)
    for challenge in ('Basic realm="streamsr", charset="UTF-8"', 'Bearer realm="streamsr"')
)


def read_token(settings: ServeSettings) -> str | None:
    """The token of ``token_file``, or else of the environment; None where neither is set.

    From now on redact() removes it. Raises ConfigError where it cannot be read or is too weak.
    """
    path = settings.token_file
    if path is not None:
        where = f"serve.token_file {path}"
        token = _read(path, where).decode(errors="replace").partition("\n")[0].rstrip("\r")
    elif VARIABLE in os.environ:
        where, token = VARIABLE, os.environ[VARIABLE]
    else:
        return None
    _check_token(token, where)
    protect_word(token)
    return token


def make_tls(settings: ServeSettings) -> ssl.SSLContext | None:
    """The server's side of TLS 1.2 and later; None where no certificate is set.

    Raises ConfigError for files that cannot be read or do not belong together.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    _read(certificate, f"serve.tls_certificate {certificate}")
    if b"ENCRYPTED" in _read(key, f"serve.tls_key {key}"):
        raise ConfigError(f"serve.tls_key {key}: it needs a password, allowed is a key without")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password="")  # never asks at the terminal
    except ssl.SSLError as error:
        mismatch = "MISMATCH" in (error.reason or "")
        why = "they do not belong together" if mismatch else "allowed are PEM files"
        raise ConfigError(
            f"serve.tls_certificate {certificate} and serve.tls_key {key}: {why}"
        ) from None
    return context


def check_exposure(host: str, token: str | None, tls: ssl.SSLContext | None) -> None:
    """Raises ConfigError for a weak token, and where strangers could watch, or read along."""
    if token is not None:
        _check_token(token, "token")
    missing = []
    if token is None:
        missing.append("a token (serve.token_file, or STREAMSR_TOKEN in the environment)")
    if tls is None:
        missing.append(f"TLS (serve.tls_certificate and serve.tls_key, made by: {SELF_SIGNED})")
    if missing and not is_loopback(host):
        raise ConfigError(
            f"listening on {host}: off loopback a token and TLS are needed, and what is missing is "
            + " and ".join(missing)
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def presented_token(authorization: str) -> str | None:
    """The token in an Authorization header: Bearer (RFC 6750), or Basic's password (RFC 7617).

    Basic is what makes a browser ask for it and send it along from then on. None: neither of both.
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        pair: BasicAuth = BasicAuth.decode(authorization, "utf-8")
        return str(pair.password)
    except ValueError:
        return None


class AccessControl:
    """Decides which requests are refused.

    With a token, all but /livez need it, whatever they ask for: as ``Authorization: Bearer``, or
    as the password of Basic, for which browsers ask. Without one the server is for this machine
    alone, and the Host must say so: a page from elsewhere could have its own name point to
    127.0.0.1 and read the video (DNS rebinding). A browser sends Basic along with what pages of
    other sites ask of us too, so these are told apart (CSRF).
    """

    def __init__(self, token: str | None, limits: ServerLimits) -> None:
        self._token = token
        self._failures = FailureLimit(limits.wrong_tokens, limits.wrong_tokens_s)
        self._rates = RateLimit(limits.per_s, limits.burst)
        self._local_rates = RateLimit(limits.local_per_s, limits.local_burst)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises the answer to a request that is refused, instead of having it handled."""
        if request.path != OPEN:
            self._check_client(client_of(request.remote or ""), request.headers)
        if self._token is None and not is_loopback(_host_of(request.headers)):
            raise web.HTTPForbidden(text="without a token this server is for localhost only")
        _check_site(request.method, request.headers)
        request[ROLE] = "control"
        return await handler(request)

    def _check_client(self, client: str, headers: Mapping[str, str]) -> None:
        now_s = asyncio.get_running_loop().time()
        rates = self._local_rates if is_loopback(client) else self._rates
        _check_wait("requests", rates.wait_s(client, now_s))
        if self._token is None:
            return
        _check_wait("wrong tokens", self._failures.wait_s(client, now_s))
        header = headers.get("Authorization", "")
        token = presented_token(header) or ""
        if not hmac.compare_digest(token.encode(errors="surrogateescape"), self._token.encode()):
            if header:  # without any it is no guess
                self._failures.add(client, now_s)
            raise web.HTTPUnauthorized(text="a token is needed", headers=CHALLENGES)


def _check_wait(what: str, wait_s: int) -> None:
    if wait_s:
        retry = {"Retry-After": str(wait_s)}
        raise web.HTTPTooManyRequests(text=f"too many {what}", headers=retry)


def _check_site(method: str, headers: Mapping[str, str]) -> None:
    """Refuses what a page of another site asks, and any writing for which it may have asked."""
    origin, host = headers.get("Origin"), headers.get("Host", "")
    own = origin is None or origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())
    if not own or (method not in READING and headers.get("Sec-Fetch-Site") not in OWN_SITE):
        raise web.HTTPForbidden(text="requests from other sites are not taken")


def _host_of(headers: Mapping[str, str]) -> str:
    try:
        return urlsplit(f"//{headers.get('Host', '')}").hostname or ""
    except ValueError:
        return ""


def _check_token(token: str, where: str) -> None:
    """Raises ConfigError for a token that is soon guessed or that a header cannot carry."""
    if len(token) < SHORTEST:
        raise ConfigError(
            f"{where}: got a token of {len(token)} characters, allowed are {SHORTEST} and more; "
            "make one: openssl rand -hex 32"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(f"{where}: a token is made of ASCII letters, digits and punctuation")


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
