"""The one redactor of whatever text leaves the process: a log, an error, a page, a metric."""

import math
import re
from collections.abc import Mapping
from typing import Any

from streamsr.core.redact.secrets import as_unicode, without_secrets
from streamsr.core.redact.shown import MASK, shown

__all__ = ["json_value", "redact"]

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
# Between quotes a password may hold the other quote, and spaces up to the @; elsewhere an address
# ends at white space.
_ADDRESS = re.compile(
    r"(?<=')" + _SCHEME + r"(?:(?:\\.|[^'\\\n])*@)?(?:\\.|[^'\\\s])*"
    r'|(?<=")' + _SCHEME + r'(?:(?:\\.|[^"\\\n])*@)?(?:\\.|[^"\\\s])*'
    "|" + _SCHEME + r"\S*"
)
_CLOSING = ",;:.!?)]}>'\"\\"  # what follows an address in a sentence is not of it
_QUERY = re.compile(r"(?<=[\w/.-])\?[\w.%\[\]-]+=[^\s'\"]*")  # of a path alone


def redact(text: object) -> str:
    """Returns ``text`` without what addresses hide, and without any protected word.

    Of an address scheme, host, port and what its path may show are left. A byte that is not UTF-8,
    as in names of files in Latin-1, becomes \\xe9, as shells show it.
    """
    clean = without_secrets(as_unicode(str(text)))
    if "://" in clean:
        clean = _ADDRESS.sub(_shown, clean)
    return _QUERY.sub(f"?{MASK}", clean) if "?" in clean else clean


def json_value(value: Any) -> Any:
    """Returns ``value`` as JSON may show it: redacted, floats of 3 decimals, None for no number.

    What JSON has no type for becomes the redacted text of it.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {json_value(str(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item) for item in value]
    return redact(value)


def _shown(match: re.Match[str]) -> str:
    address = match.group().rstrip(_CLOSING)
    return shown(address) + match.group()[len(address) :]
