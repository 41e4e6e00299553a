"""The secrets that this process knows, in every spelling in which a message may hold them."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from html import escape
from urllib.parse import quote, quote_plus, unquote

from streamsr.core.redact.reading import readings
from streamsr.core.redact.shown import MASK, hidden_words, shown

__all__ = ["as_unicode", "protect", "protect_word", "without_secrets"]

LEAST = 4  # characters: shorter ones would blank too much
_NO_SCHEME = re.compile(r"[^/:@\s]+:\S.*@\S", re.S)  # user:password@host, as people type it
_BYTE = re.compile("[\udc80-\udcff]")  # as Python's surrogateescape spells it
KEPT = "surrogateescape"  # of a byte that is not UTF-8
_encoded = partial(quote, errors=KEPT)


class _Secrets:
    """What is to be replaced, and by what. Adding is rare, replacing is not."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}  # what stands in a secret's place
        self._by_length: list[str] = []  # the shortest first

    def add(self, secret: str, shown_as: str) -> None:
        for spelt in {as_unicode(spelling) for spelling in _spellings(secret)}:
            if len(spelt) >= LEAST and spelt not in self._shown:
                self._shown[spelt] = shown_as
                place = bisect_left(self._by_length, len(spelt), key=len)
                known = self._by_length  # never changed: other threads read it
                self._by_length = [*known[:place], spelt, *known[place:]]

    def out_of(self, text: str) -> str:
        """``text`` with each secret replaced, the longest first: one may be part of another."""
        known = self._by_length
        for place in range(bisect_left(known, len(text) + 1, key=len) - 1, -1, -1):
            secret = known[place]
            if secret in text:
                text = text.replace(secret, self._shown[secret])
        return text


_secrets = _Secrets()


def protect(url: str) -> None:
    """Remembers the secrets of ``url`` in every spelling, so that redact() removes them.

    The login of every reading is one: which of them a server understands is not known.
    """
    logins = {reading.login for reading in readings(url) if reading.login}
    if "://" in url and shown(url) != url:
        _secrets.add(url, as_unicode(shown(url)))
        for word in hidden_words(url):
            protect_word(word)
        for login in logins:
            _secrets.add(f"://{login}@", f"://{MASK}@")  # however short it is
    elif _NO_SCHEME.match(url):
        logins = {url.rpartition("@")[0]}
    for login in logins:
        protect_word(login)
        protect_word(login.partition(":")[2])


def protect_word(word: str) -> None:
    """Remembers a secret, however it may be spelt; under 4 characters it would blank too much."""
    if len(word) >= LEAST:
        _secrets.add(word, MASK)


def without_secrets(text: str) -> str:
    """Returns ``text`` with what is protected replaced."""
    return _secrets.out_of(text)


def as_unicode(text: str) -> str:
    """Returns ``text`` without lone surrogates, which no JSON, page or message can carry."""
    byte = _BYTE.sub(lambda match: f"\\x{ord(match.group()) - 0xDC00:02x}", text)
    return byte.encode(errors="replace").decode()


def _spellings(word: str) -> Iterator[str]:
    """A secret as written, and as an address, Python, JSON, a shell and HTML spell it."""
    for plain in {word, unquote(word)}:
        if "://" not in plain:
            encoded = _encoded(plain, safe="")
            yield from (encoded, _encoded(plain), quote_plus(plain, errors=KEPT))
            yield _encoded(plain, safe="/:@")
            yield re.sub("%..", lambda code: code.group().lower(), encoded)
        for quoted in _quoted(plain):
            yield from (quoted, escape(quoted), escape(quoted, quote=False))


def _quoted(plain: str) -> Iterator[str]:
    escaped = plain.replace("\\", "\\\\").replace("'", "\\'")  # beside a double quote, Python's
    yield from (plain, repr(plain)[1:-1], escaped, plain.replace("'", "'\"'\"'"))
    yield from (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
