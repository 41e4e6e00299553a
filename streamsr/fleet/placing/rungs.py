"""What a camera is asked to run as: its settings as they are, or by the cheaper fallback."""

from collections.abc import Mapping
from typing import Any

__all__ = ["FILTERS", "at_rung", "is_plain", "rungs_of", "workload"]

DEFAULT_FALLBACK = ("bicubic",)  # as ModelSettings has it
FILTERS = frozenset(("bicubic", "lanczos", "none"))  # models that are no networks


def rungs_of(settings: Mapping[str, Any]) -> int:
    """Returns how many rungs there are: 2, or 1 where the settings name nothing cheaper."""
    return 2 if _fallback(settings) else 1


def at_rung(settings: Mapping[str, Any], rung: int) -> Mapping[str, Any]:
    """Returns the settings to run: at rung 1 the model is the first that it would fall back to."""
    if not rung:
        return settings
    first, *rest = _fallback(settings)
    model = {**settings.get("model", {}), "name": first, "fallback": rest}
    return {**settings, "model": model}


def is_plain(settings: Mapping[str, Any], rung: int) -> bool:
    """Whether a camera runs without a network at a rung; without a fallback, as it is asked for."""
    fallback = _fallback(settings) if rung else []
    return (fallback[0] if fallback else settings.get("model", {}).get("name")) in FILTERS


def workload(settings: Mapping[str, Any]) -> str:
    """Returns what cameras have in common that cost about the same: model and size of results."""
    model, output = settings.get("model", {}), settings.get("output", {})
    size = output.get("size") or output.get("scale") or ""
    return f"{model.get('name', 'auto')} {size}".strip()


def _fallback(settings: Mapping[str, Any]) -> list[str]:
    """The models to fall back to, but for the one that is asked for."""
    model = settings.get("model", {})
    names = model.get("fallback", DEFAULT_FALLBACK)
    return [name for name in names if name != model.get("name")]
