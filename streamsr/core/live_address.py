"""A live address as people type it, into one that FFmpeg reads. Opens nothing."""

import re
from urllib.parse import quote

from streamsr.core.errors import InputError
from streamsr.core.redact import read_address, redact

__all__ = ["SPELT", "WHIP", "live_address"]

WHIP = "whip"  # an input that is published to [serve]
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
SPELT = "in a password / is written %2F, # %23, ? %3F and @ %40"


def live_address(url: str) -> str:
    """Returns the address with its scheme in lower case, user name and password percent-encoded.

    A password may hold / # ? @ as they are: it ends where the host after it is most likely one.
    Raises InputError where there is no host.
    """
    reading = read_address(url)
    if reading is None:
        raise InputError(
            f"input {redact(url)}: it is no address: allowed is SCHEME://HOST:PORT/PATH, or "
            f"SCHEME://USER:PASSWORD@HOST:PORT/PATH; {SPELT}"
        )
    login = ""
    if reading.login is not None:
        user, colon, password = reading.login.partition(":")
        login = f"{_encoded(user)}{colon}{_encoded(password)}@"
    return f"{reading.scheme.lower()}://{login}{reading.place}{reading.tail}"


def _encoded(word: str) -> str:
    """Percent-encodes what is not yet."""
    pieces, end = [], 0
    for found in ENCODED.finditer(word):
        pieces += [quote(word[end : found.start()], safe=""), found.group()]
        end = found.end()
    return "".join([*pieces, quote(word[end:], safe="")])
