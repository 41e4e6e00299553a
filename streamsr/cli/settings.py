"""From what the user said on the command line to settings."""

from pathlib import Path
from typing import Any

from streamsr.core.config import parse, with_overrides
from streamsr.core.settings import PipelineSettings

__all__ = ["GIVE_UP_S", "parsed", "stream_settings"]

GIVE_UP_S = 10.0  # on a peer that never answers


def stream_settings(
    name: str,
    url: str,
    model: str,
    folders: list[Path] | None,
    device: str,
    seconds: float | None = None,
    frames: int | None = None,
) -> dict[str, Any]:
    """The options that every pipeline command shares, as settings."""
    return {
        "name": name,
        "input": {"url": url},
        "model": {"name": model, "device": device, "folders": tuple(folders or ())},
        "limits": {"seconds": seconds, "frames": frames},
    }


def parsed(data: dict[str, Any], overrides: list[str] | None = None) -> PipelineSettings:
    """Returns the settings that ``data`` and ``--set`` say. Raises ConfigError."""
    return parse(with_overrides(data, overrides or []), PipelineSettings, "command line")
