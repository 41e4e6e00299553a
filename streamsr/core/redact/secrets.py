"""The secrets that this process knows, in every spelling in which a message may hold them."""

import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from html import escape
from threading import Lock
from urllib.parse import quote, quote_plus, unquote
from weakref import finalize

from streamsr.core.redact.reading import readings
from streamsr.core.redact.shown import MASK, hidden_words, shown

__all__ = ["SecretAddress", "as_unicode", "protect", "protect_word", "without_secrets"]

LEAST = 4  # characters: shorter ones would blank too much
LINGERING = 64  # addresses that nothing holds any more: what failed with them may still be told
_NO_SCHEME = re.compile(r"[^/:@\s]+:\S.*@\S", re.S)  # user:password@host, as people type it
_BYTE = re.compile("[\udc80-\udcff]")  # as Python's surrogateescape spells it
KEPT = "surrogateescape"  # of a byte that is not UTF-8
_encoded = partial(quote, errors=KEPT)


class _Secrets:
    """What is to be replaced, and by what, as often as it is held."""

    def __init__(self) -> None:
        self._lock = Lock()  # of who adds and drops; who replaces needs none
        self._held = Counter[str]()
        self._shown: dict[str, str] = {}  # what stands in a secret's place
        self._by_start: dict[str, tuple[str, ...]] = {}  # those that begin alike
        self._released: deque[dict[str, str]] = deque()  # the last ones: some may still be told

    def __len__(self) -> int:
        return len(self._shown)

    def hold(self, secrets: dict[str, str]) -> None:
        """Remembers spellings of secrets with what is shown in their places."""
        with self._lock:
            for secret, shown_as in secrets.items():
                self._held[secret] += 1
                if secret not in self._shown:
                    self._shown[secret] = shown_as
                    start = secret[:LEAST]
                    self._by_start[start] = (*self._by_start.get(start, ()), secret)
            while len(self._released) > LINGERING:
                self._drop(self._released.popleft())

    def release(self, secrets: dict[str, str]) -> None:
        """Undoes a ``hold``, a little later. It waits for nothing: anything may have let go."""
        self._released.append(secrets)

    def _drop(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            self._held[secret] -= 1
            if self._held[secret]:
                continue
            del self._held[secret], self._shown[secret]
            start = secret[:LEAST]
            alike = tuple(other for other in self._by_start[start] if other != secret)
            if alike:
                self._by_start[start] = alike
            else:
                del self._by_start[start]

    def out_of(self, text: str) -> str:
        """``text`` with each secret replaced, the longest first: one may be part of another."""
        found = set[str]()
        for place in range(len(text) - LEAST + 1):
            alike = self._by_start.get(text[place : place + LEAST])
            if alike and text.startswith(alike, place):
                found.update(secret for secret in alike if text.startswith(secret, place))
        for secret in sorted(found, key=len, reverse=True):
            text = text.replace(secret, self._shown.get(secret, MASK))
        return text


_secrets = _Secrets()


class SecretAddress(str):
    """An address whose secrets redact() removes while anything holds it, and shortly after.

    Messages between processes hold it as a plain string: msgspec encodes no other.
    """

    __slots__ = ("__weakref__", "said")

    said: str  # as a file says it: with names of variables and files in the values' places

    def __new__(cls, url: str, said: str | None = None) -> "SecretAddress":
        self = super().__new__(cls, url)
        self.said = url if said is None else said
        if secrets := _secrets_of(url):
            _secrets.hold(secrets)
            finalize(self, _secrets.release, secrets).atexit = False
        return self


def protect(url: str) -> None:
    """Remembers the secrets of ``url`` in every spelling until the process ends."""
    _secrets.hold(_secrets_of(url))


def protect_word(word: str) -> None:
    """Remembers a secret, however it may be spelt; under 4 characters it would blank too much."""
    _secrets.hold(_spelt({word: MASK}))


def without_secrets(text: str) -> str:
    """Returns ``text`` with what is protected replaced."""
    return _secrets.out_of(text)


def as_unicode(text: str) -> str:
    """Returns ``text`` without lone surrogates, which no JSON, page or message can carry."""
    byte = _BYTE.sub(lambda match: f"\\x{ord(match.group()) - 0xDC00:02x}", text)
    return byte.encode(errors="replace").decode()


def _secrets_of(url: str) -> dict[str, str]:
    """The secrets of an address in every spelling, with what is shown in their places.

    The login of every reading is one: which of them a server understands is not known.
    """
    found: dict[str, str] = {}
    logins = {reading.login for reading in readings(url) if reading.login}
    if "://" in url and shown(url) != url:
        found[url] = as_unicode(shown(url))
        found |= dict.fromkeys(hidden_words(url), MASK)
        found |= {f"://{login}@": f"://{MASK}@" for login in logins}  # however short it is
    elif _NO_SCHEME.match(url):
        logins = {url.rpartition("@")[0]}
    for login in logins:
        found |= {login: MASK, login.partition(":")[2]: MASK}
    return _spelt(found)


def _spelt(secrets: dict[str, str]) -> dict[str, str]:
    """Secrets in every spelling, aside from those that are too short."""
    spelt: dict[str, str] = {}
    for secret, shown_as in secrets.items():
        if len(secret) >= LEAST:
            for spelling in map(as_unicode, _spellings(secret)):
                if len(spelling) >= LEAST:
                    spelt.setdefault(spelling, shown_as)
    return spelt


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
