"""JSON merge patches (RFC 7396): what differs between two objects, and one laid over another."""

from collections.abc import Mapping
from typing import Any

__all__ = ["difference", "laid_over"]

Data = dict[str, Any]


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Data:
    """Returns the patch that makes ``after`` of ``before``; neither has null in it."""
    patch: Data = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if inner := difference(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch


def laid_over(base: Mapping[str, Any], patch: Mapping[str, Any]) -> Data:
    """Returns ``base`` with a patch applied; both stay as they are."""
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            inner = merged.get(key)
            merged[key] = laid_over(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged
