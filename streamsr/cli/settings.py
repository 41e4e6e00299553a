"""From what the user said on the command line to settings."""

import re
from pathlib import Path
from typing import Any

from streamsr.core.config import parse, with_overrides
from streamsr.core.errors import UserError
from streamsr.core.settings import PipelineSettings

__all__ = [
    "GIVE_UP_S",
    "audio_choice",
    "denoise_share",
    "encoder_settings",
    "parsed",
    "stream_settings",
]

DENOISE = {"low": 0.33, "medium": 0.67, "high": 1.0}
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


def encoder_settings(
    codec: str | None, crf: int | None, preset: str | None, bitrate: str | None
) -> dict[str, Any]:
    """What the options of the encoder say, as settings. Raises UserError."""
    if crf is not None and bitrate is not None:
        raise UserError(f"--crf {crf}: got --bitrate {bitrate} too, allowed is one of the two")
    said = {"codec": codec, "crf": crf, "preset": preset, "kbit_s": _kbit_s(bitrate)}
    return {key: value for key, value in said.items() if value is not None}


def denoise_share(denoise: str | None) -> float | None:
    """What --denoise says, from 0 to 1. Raises UserError."""
    if denoise is None or denoise in DENOISE:
        return DENOISE.get(denoise or "")
    try:
        share = float(denoise)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        allowed = ", ".join(DENOISE)
        raise UserError(f"--denoise: got {denoise!r}, allowed are {allowed}, or a number 0 to 1")
    return share


def audio_choice(audio: str) -> int | str:
    """What --audio says. Raises UserError."""
    if audio != "all" and not (audio.isascii() and audio.isdecimal()):
        raise UserError(f"--audio: got {audio!r}, allowed is all, or a number from 0")
    return audio if audio == "all" else int(audio)


def _kbit_s(bitrate: str | None) -> int | None:
    if bitrate is None:
        return None
    number = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([kKmM])", bitrate.strip())
    if number is None:
        raise UserError(f"--bitrate: got {bitrate!r}, allowed is a number with k or M, as in 8M")
    return round(float(number[1]) * {"k": 1, "m": 1000}[number[2].lower()])


def parsed(data: dict[str, Any], overrides: list[str] | None = None) -> PipelineSettings:
    """Returns the settings that ``data`` and ``--set`` say. Raises ConfigError."""
    return parse(with_overrides(data, overrides or []), PipelineSettings, "command line")
