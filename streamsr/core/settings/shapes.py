"""Texts of a certain form, whose error says in words what is allowed."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from streamsr.core.config import Text

__all__ = ["HardwareName", "Label", "PageUrl", "PlainLetters", "PlainName", "Shaped", "Topic"]


@dataclass(frozen=True, slots=True)
class Shaped:
    """For ``Annotated[str, …]``: a text that ``pattern`` matches, anchored at both ends.

    ``allowed`` says the same to people: an expression in an error helps nobody.
    """

    pattern: str
    allowed: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}

    def _checked(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"allowed is {self.allowed}")
        return text


PlainName = Annotated[
    str, Shaped(r"^[A-Za-z0-9_-]{1,64}$", "1 to 64 letters, digits, - and _, of ASCII")
]
Label = Annotated[
    str,
    Shaped(
        r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$",
        "1 to 63 letters, digits and ._/- between them, of ASCII",
    ),
]
HardwareName = Annotated[
    str,
    Shaped(
        r"^(auto|off|[a-z0-9]{1,32}_[a-z0-9]{1,31})$",
        "auto, off or an encoder's name, as h264_nvenc",
    ),
]
PlainLetters = Annotated[str, Shaped(r"^[A-Za-z0-9_-]+$", "letters, digits, - and _, of ASCII")]
Topic = Annotated[
    str,
    Shaped(
        r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        "letters, digits, - and _, of ASCII, with / between levels",
    ),
]
PageUrl = Annotated[
    Text,
    Shaped(
        r"^https?://[^\s?#@]+$",
        "http://HOST or https://HOST, with or without a PATH, no user name or query",
    ),
]
