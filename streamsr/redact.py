"""The one redactor: no secret of a URL gets into a log, an error, a page or a metric."""

import re
from urllib.parse import unquote

__all__ = ["protect", "redact"]

# user:password@ of any URL; the password may hold "/" or "#" unescaped, as users type it
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"]*@")
_secrets: set[str] = set()


def redact(text: object) -> str:
    """Give ``text`` without user names and passwords of URLs and without any protected word."""
    clean = _USERINFO.sub(r"\g<scheme>***@", str(text))
    for secret in sorted(_secrets, key=len, reverse=True):
        clean = clean.replace(secret, "***")
    return clean


def protect(url: str) -> None:
    """Remember the password of ``url``, as written and as decoded, so that redact() removes it."""
    match = _USERINFO.match(url)
    if match is None:
        return
    userinfo = match.group(0).removeprefix(match.group("scheme")).removesuffix("@")
    _, _, password = userinfo.partition(":")
    _secrets.update(word for word in (password, unquote(password)) if len(word) >= 4)
