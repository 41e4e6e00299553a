"""All that a process writes on stderr, redacted: its log, tracebacks, warnings of any library."""

import sys
from typing import Any, TextIO, cast

from streamsr.core.redact.redactor import redact

__all__ = ["redact_stderr"]


class _Redacted:
    """A text stream that redacts what is written; whatever else is asked of it is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_stderr() -> None:
    """From now on nothing gets to ``sys.stderr`` but through the redactor."""
    if sys.stderr is not None and not isinstance(sys.stderr, _Redacted):  # None: it was closed
        sys.stderr = cast(TextIO, _Redacted(sys.stderr))
