"""The one redactor: no secret of a URL gets into a log, an error, a page or a metric."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus, unquote

__all__ = ["json_value", "protect", "protect_word", "redact"]

# user:password@ of any URL; the password may hold "/" or "#" unescaped, as users type it
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"]*@")
_KEY = r"(?P<key>[?&](?:pass|passwd|password|pwd|token|key|auth)=)"
_QUERY = re.compile(_KEY + r"[^&#\s'\"]*", re.I)
_WHOLE_QUERY = re.compile(_KEY + r"(?P<value>[^&]*)", re.I)  # where all the text is one address
# The last part of an RTMP address is the key to somebody's channel, with its query; a mark that
# ends a clause is not of it.
_RTMP_KEY = re.compile(
    r"(?P<place>rtmp[a-z]*://[^\s'\"/?]+/(?:[^\s'\"?]*/)?)"
    r"[^\s'\"/?]*[^\s'\"/?,;:.)](?:\?[^\s'\"]*[^\s'\",;:.)])?",
    re.I,
)
_NO_SCHEME = re.compile(r"[^/:@\s]+:\S.*@\S", re.S)  # user:password@host, as people type it
_BYTE = re.compile("[\udc80-\udcff]")  # as Python's surrogateescape spells it
MASK = "***"
KEPT = "surrogateescape"  # of a byte that is not UTF-8
_encoded = partial(quote, errors=KEPT)
_secrets: set[str] = set()


def redact(text: object) -> str:
    """Returns ``text`` without user names, passwords and keys of URLs, and any protected word.

    A byte that is not UTF-8, as in names of files in Latin-1, becomes \\xe9, as shells show it.
    """
    clean = _as_unicode(str(text))
    for secret in sorted(_secrets, key=len, reverse=True):
        if secret in clean:
            clean = clean.replace(secret, f"://{MASK}@" if secret.startswith("://") else MASK)
    clean = _USERINFO.sub(rf"\g<scheme>{MASK}@", clean)
    clean = _RTMP_KEY.sub(rf"\g<place>{MASK}", clean)
    return _QUERY.sub(rf"\g<key>{MASK}", clean)


def json_value(value: Any) -> Any:
    """Returns ``value`` as JSON may show it: redacted, floats of 3 decimals, None for no number."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {json_value(str(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_value(item) for item in value]
    return value


def protect(url: str) -> None:
    """Remembers the secrets of ``url`` in every spelling, so that redact() removes them."""
    _, separator, rest = url.partition("://")
    userinfo, at, _ = (rest if separator else url).rpartition("@")
    values = [match.group("value") for match in _WHOLE_QUERY.finditer(url)]
    words = [word for value in values for word in (value, value.partition("#")[0])]
    if at and (separator or _NO_SCHEME.match(url)):
        words += [userinfo, userinfo.partition(":")[2]]
    if at and separator:
        words.append(f"://{userinfo}@")  # however short it is
    for word in words:
        protect_word(word)


def _as_unicode(text: str) -> str:
    """``text`` without lone surrogates, which no JSON, page or message can carry."""
    byte = _BYTE.sub(lambda match: f"\\x{ord(match.group()) - 0xDC00:02x}", text)
    return byte.encode(errors="replace").decode()


def protect_word(word: str) -> None:
    """Remembers a secret, however it may be spelt; under 4 characters it would blank too much."""
    _secrets.update(_as_unicode(w) for w in _spellings(word) if len(w) >= 4)


def _spellings(word: str) -> Iterator[str]:
    """A secret as written, and as an address, Python, JSON, a shell and HTML spell it."""
    for plain in {word, unquote(word)}:
        if not plain.startswith("://"):
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
