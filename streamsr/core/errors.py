"""The errors a caller may catch.

StreamsrError
├── EngineClosedError    what was to run needs an engine that somebody has closed
├── UserError            what was asked for is wrong: a value, a file, a name (exit code 2)
│   ├── ConfigError      a setting: the key, what it got, what is allowed, where
│   ├── InputError       an input that cannot be read as video
│   ├── OutputError      an output that cannot be written
│   └── ModelError       a model that is missing, damaged or does not fit its card
└── SourceError          a live source failed; it is tried again
    └── SourceAuthError  a live source refused the credentials; tried again, but seldom

A message states what was got, what is allowed and where; it holds no secret.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "EngineClosedError",
    "InputError",
    "ModelError",
    "OutputError",
    "SourceAuthError",
    "SourceError",
    "StreamsrError",
    "UserError",
    "error_named",
    "name_of",
    "nearest",
]


class StreamsrError(Exception):
    """Any failure that streamsr foresees."""


class EngineClosedError(StreamsrError, RuntimeError):
    """An engine takes no more work, as it is closed."""


class UserError(StreamsrError):
    """What was asked for cannot be done as it was asked for."""


class ConfigError(UserError):
    """A setting is wrong."""


class InputError(UserError):
    """An input is missing, empty or damaged."""


class OutputError(UserError):
    """An output cannot be written."""


class ModelError(UserError):
    """A model is missing or damaged, or its weights do not fit its network."""


class SourceError(StreamsrError):
    """A live source could not be opened or stopped delivering."""


class SourceAuthError(SourceError):
    """A live source refused the credentials."""


def name_of(error: StreamsrError) -> str:
    """Returns the name of the class of an error, or of the nearest one that is known here."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in __all__)


def error_named(name: str) -> type[StreamsrError]:
    """Returns the class of this name, as another process tells it; StreamsrError for any other."""
    found = globals().get(name) if name in __all__ else None
    if isinstance(found, type) and issubclass(found, StreamsrError):
        return found
    return StreamsrError


def nearest(word: str, words: Iterable[str]) -> str:
    """Returns what ``word`` may have meant: " (did you mean 'x'?)", or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
