"""A live address as people type it, into one that FFmpeg reads. Opens nothing."""

import re
from urllib.parse import quote

from streamsr.core.errors import InputError
from streamsr.core.redact import redact

__all__ = ["SPELT", "live_address"]

PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)?(?::(?P<port>\d{1,5}))?(?=[/?#]|$)")
FULL_NAME = re.compile(r"\[.*\]|(\d+\.){3}\d+|(.*\.)[A-Za-z][\w-]+|localhost")
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
SPELT = "in a password / is written %2F, # %23, ? %3F and @ %40"


def live_address(url: str) -> str:
    """Returns the address with its scheme in lower case, user name and password percent-encoded.

    A password may hold / # ? @ as they are: it ends where the host after it is most likely one.
    Raises InputError where there is no host.
    """
    scheme, _, rest = url.partition("://")
    ends = [-1, *(place for place, sign in enumerate(rest) if sign == "@")]
    readings = [end for end in ends if _can_end(rest, end)]
    if not readings:
        raise InputError(
            f"input {redact(url)}: it is no address: allowed is SCHEME://HOST:PORT/PATH, or "
            f"SCHEME://USER:PASSWORD@HOST:PORT/PATH; {SPELT}"
        )
    end = max(readings, key=lambda end: _likelihood(rest[end + 1 :]))  # the first of equals
    user, colon, password = rest[: max(end, 0)].partition(":")
    login = f"{_encoded(user)}{colon}{_encoded(password)}@" if end >= 0 else ""
    return f"{scheme.lower()}://{login}{rest[end + 1 :]}"


def _can_end(rest: str, end: int) -> bool:
    """Whether the user name and password can end at ``end``, -1: whether there can be none."""
    if re.search("[/?#]", rest[: max(end, 0)].partition(":")[0]):
        return False  # that @ is the path's
    found = PLACE.match(rest[end + 1 :])
    return found is not None and int(found["port"] or 0) <= 65_535


def _likelihood(place: str) -> int:
    """How likely it is that an address goes on like that after its user name and password."""
    found = PLACE.match(place)
    assert found is not None  # it can end there
    return 2 * bool(FULL_NAME.fullmatch(found["host"] or "")) or int(bool(found["port"]))


def _encoded(word: str) -> str:
    """Percent-encodes what is not yet."""
    pieces, end = [], 0
    for found in ENCODED.finditer(word):
        pieces += [quote(word[end : found.start()], safe=""), found.group()]
        end = found.end()
    return "".join([*pieces, quote(word[end:], safe="")])
