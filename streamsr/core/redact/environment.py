"""Secrets out of the environment and of files, and the environment without them, for children."""

import os
import re
from pathlib import Path
from urllib.parse import quote

from streamsr.core.errors import ConfigError
from streamsr.core.first_line import first_line_bytes
from streamsr.core.redact.secrets import SecretAddress

__all__ = ["childrens_environment", "filled_in", "secret_variable"]

NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_names = {"STREAMSR_TOKEN", "STREAMSR_MQTT_PASSWORD"}  # of variables that hold a secret


def secret_variable(name: str) -> str | None:
    """Returns a variable of the environment that may hold a secret; no child inherits it."""
    _names.add(name)
    return os.environ.get(name)


def childrens_environment() -> dict[str, str]:
    """Returns the environment without what was read as a secret: children are told by messages."""
    return {name: value for name, value in os.environ.items() if name not in _names}


def filled_in(address: str) -> SecretAddress:
    """Returns an address as it is meant.

    "@FILE" is the first line of a file, "${NAME}" the value of a variable, percent-encoded where
    there is more. Raises ValueError where there is none.
    """
    alone = NAME.fullmatch(address)
    if address.startswith("@") and len(address) > 1:
        filled = _line(Path(address[1:]))
    elif alone is not None:
        filled = _value(alone.group(1))
    else:
        filled = NAME.sub(lambda name: quote(_value(name.group(1)), safe=""), address)
    return SecretAddress(filled, address)


def _value(name: str) -> str:
    value = secret_variable(name)
    if value is None:
        raise ValueError(f"the environment variable {name} is not set")
    if not value:
        raise ValueError(f"the environment variable {name} is empty")
    return value


def _line(path: Path) -> str:
    try:
        return os.fsdecode(first_line_bytes(path, f"the file {path}").strip())
    except ConfigError as error:
        raise ValueError(str(error)) from None
