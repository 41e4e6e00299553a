"""Redaction: of an address only scheme, host, port and a clean path leave the process."""

from streamsr.core.redact.environment import childrens_environment, filled_in, secret_variable
from streamsr.core.redact.reading import read_address
from streamsr.core.redact.redactor import json_value, redact
from streamsr.core.redact.secrets import SecretAddress, protect, protect_word
from streamsr.core.redact.shown import shown
from streamsr.core.redact.stderr import redact_stderr

__all__ = [
    "SecretAddress",
    "childrens_environment",
    "filled_in",
    "json_value",
    "protect",
    "protect_word",
    "read_address",
    "redact",
    "redact_stderr",
    "secret_variable",
    "shown",
]
