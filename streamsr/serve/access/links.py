"""Links that expire: an address that lets in whoever has it, to watch one camera.

For what cannot send a header: <video>, HLS players, images in a dashboard. A link's token is
``TIME.CODE``: until when, in seconds of Unix time in hexadecimal, and the first 128 bits of HMAC
(RFC 2104) with SHA-256 over it and the path. It is good for that path and below, and its key is
made of a token of the role control: where that one changes, its links end.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import scrypt, sha256
from typing import Final

from aiohttp import web

from streamsr.serve.access.tokens import Token

__all__ = [
    "LINK",
    "LONGEST_S",
    "PARAMETER",
    "WATCHED",
    "camera_of",
    "carried",
    "expiry_of",
    "signed",
    "watchable",
]

PARAMETER = "token"
LINK: Final = web.RequestKey("link", str)  # the token of the link that a request came by, if any
LONGEST_S = 366 * 86_400.0
FORM = re.compile(r"(?P<until>[0-9a-f]{1,12})\.(?P<code>[A-Za-z0-9_-]{22})")
NAME = r"([A-Za-z0-9_-]+)"
WATCHED = (  # what a link may be for: of one camera, and nothing that changes anything
    "/hls/NAME",
    "/live/NAME",
    "/snapshot/NAME.jpg",
    "/api/v1/cameras/NAME/recordings",
    "/api/v1/cameras/NAME/snapshot",
)
PARTS = "|".join(re.escape(part).replace("NAME", NAME) for part in WATCHED)
BELOW = r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*"  # no "", "." and "..", nor what a query begins with
WATCHABLE = re.compile(f"(?P<part>{PARTS}){BELOW}")
URI = re.compile(r'(URI=")([^"]+)(")')


def watchable(path: str) -> str | None:
    """The part of ``path`` that a link to it is for: itself, or what stands above it."""
    found = WATCHABLE.fullmatch(path)
    return found["part"] if found is not None else None


def camera_of(path: str) -> str:
    """The name of the camera whose ``path`` is ``watchable``."""
    found = WATCHABLE.fullmatch(path)
    assert found is not None
    return next(name for name in found.groups()[1:] if name is not None)


def signed(token: Token, path: str, until_s: float) -> str:
    """The token of a link to ``path``, one that is ``watchable``, until then by Unix time."""
    until = f"{int(until_s):x}"
    return f"{until}.{_code(token.secret, until, path)}"


def expiry_of(tokens: Iterable[Token], path: str, presented: str) -> int | None:
    """Until when a link's token is good for ``path``, by Unix time; None where it is none.

    It may be a moment that is past.
    """
    form = FORM.fullmatch(presented)
    prefix = watchable(path)
    if form is None or prefix is None:
        return None
    given, right = form["code"], False
    for token in tokens:
        if token.role == "control":
            right |= hmac.compare_digest(given, _code(token.secret, form["until"], prefix))
    return int(form["until"], 16) if right else None


def carried(playlist: str, token: str) -> str:
    """A playlist of HLS (RFC 8216) whose addresses all carry the token of the link it came by."""
    return "".join(_carried(line, token) for line in playlist.splitlines(keepends=True))


def _carried(line: str, token: str) -> str:
    if line.startswith("#"):
        return URI.sub(lambda uri: f"{uri[1]}{_with(uri[2], token)}{uri[3]}", line)
    address = line.strip()
    return line.replace(address, _with(address, token)) if address else line


def _with(address: str, token: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{PARAMETER}={token}"


def _code(secret: str, until: str, path: str) -> str:
    digest = hmac.digest(_key(secret), f"{until} {path}".encode(), sha256)
    return urlsafe_b64encode(digest[:16]).decode().rstrip("=")


@lru_cache(maxsize=64)
def _key(secret: str) -> bytes:
    """Made slowly, as whoever has a link could try tokens against it (RFC 7914)."""
    return scrypt(secret.encode(), salt=b"streamsr links", n=1 << 14, r=8, p=1)
