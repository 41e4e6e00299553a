"""Settings as plain data: what differs between two, and one laid over the other. Pure."""

import hashlib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from streamsr.core.config import Settings
from streamsr.core.errors import ConfigError
from streamsr.core.settings import NodeSettings, StreamSettings

__all__ = ["data_of", "difference", "digest_of", "laid_over", "with_streams"]

Data = dict[str, Any]


def data_of(settings: Settings, *, brief: bool = False) -> Data:
    """Returns settings as a file may say them; ``brief``: without what is left at its default."""
    return settings.model_dump(mode="json", exclude_none=True, exclude_defaults=brief)


def difference(before: Data, after: Data) -> Data:
    """Returns the merge patch (RFC 7396) that makes ``after`` of ``before``."""
    patch: Data = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := difference(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch


def laid_over(base: Data, patch: Data) -> Data:
    """Returns ``base`` with a merge patch (RFC 7396) applied."""
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            inner = merged.get(key)
            merged[key] = laid_over(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def digest_of(settings: StreamSettings) -> str:
    """Returns what tells whether a file still says the same of a stream; no secret can be read
    off it."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()


def with_streams(settings: NodeSettings, streams: Iterable[StreamSettings]) -> NodeSettings:
    """Returns the node with other streams. Raises ConfigError where they cannot go together."""
    groups = {name: getattr(settings, name) for name in NodeSettings.model_fields}
    try:
        return NodeSettings.model_validate(groups | {"streams": tuple(streams)})
    except ValidationError as error:
        fault = str(error.errors(include_url=False)[0]["msg"])
        raise ConfigError(fault.removeprefix("Value error, ")) from None
