"""A node's settings as plain data, told apart, and put together. Pure."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from streamsr.core.config import AS_SAID, Settings
from streamsr.core.errors import ConfigError
from streamsr.core.settings import NodeSettings, StreamSettings

__all__ = ["data_of", "digest_of", "with_streams"]


def data_of(settings: Settings, *, brief: bool = False) -> dict[str, Any]:
    """Returns settings as a file may say them; ``brief``: without what is left at its default."""
    return settings.model_dump(mode="json", exclude_none=True, exclude_defaults=brief)


def digest_of(settings: StreamSettings) -> str:
    """Returns what tells whether a file still says the same of a stream, whatever the variables and
    files that it names hold; no secret can be read off it. Settings that a later version adds do
    not change it."""
    data = settings.model_dump(
        mode="json", exclude_none=True, exclude_defaults=True, context=AS_SAID
    )
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def with_streams(settings: NodeSettings, streams: Iterable[StreamSettings]) -> NodeSettings:
    """Returns the node with other streams. Raises ConfigError where they cannot go together."""
    groups = {name: getattr(settings, name) for name in NodeSettings.model_fields}
    try:
        return NodeSettings.model_validate(groups | {"streams": tuple(streams)})
    except ValidationError as error:
        fault = str(error.errors(include_url=False)[0]["msg"])
        raise ConfigError(fault.removeprefix("Value error, ")) from None
