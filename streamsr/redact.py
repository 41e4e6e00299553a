"""The one redactor: no secret of a URL gets into a log, an error, a page or a metric."""

import re
from urllib.parse import unquote

__all__ = ["protect", "protect_word", "redact"]

# user:password@ of any URL; the password may hold "/" or "#" unescaped, as users type it
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"]*@")
_QUERY = re.compile(r"(?P<key>[?&](?:pass|passwd|password|pwd|token|key|auth)=)[^&#\s'\"]*", re.I)
MASK = "***"
_secrets: set[str] = set()


def redact(text: object) -> str:
    """Give ``text`` without user names and passwords of URLs and without any protected word."""
    clean = str(text)
    for secret in sorted(_secrets, key=len, reverse=True):
        clean = clean.replace(secret, MASK)
    clean = _USERINFO.sub(rf"\g<scheme>{MASK}@", clean)
    return _QUERY.sub(rf"\g<key>{MASK}", clean)


def protect(url: str) -> None:
    """Remember the secrets of ``url``, as written and as decoded, so that redact() removes them."""
    _, separator, rest = url.partition("://")
    userinfo, at, _ = rest.rpartition("@")
    words = [match.group(0).partition("=")[2] for match in _QUERY.finditer(url)]
    if separator and at:
        words += [userinfo, userinfo.partition(":")[2]]
    for word in words:
        protect_word(word)


def protect_word(word: str) -> None:
    """Remember a secret, as written and as decoded; under 4 characters it would blank too much."""
    _secrets.update(w for w in (word, unquote(word)) if len(w) >= 4)
