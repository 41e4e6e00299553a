"""Starts again what has died, one thing after another, until each is there."""

import logging
from collections.abc import Callable
from time import monotonic

from streamsr.core.redact import redact

__all__ = ["Repairs"]

log = logging.getLogger("streamsr")


class Repairs:
    """Remembers what is gone, and since when: a start that fails is tried again at the next look,
    and keeps nothing else from its own."""

    def __init__(self) -> None:
        self._died: dict[str, float] = {}  # monotonic, by name

    def look(
        self, name: str, start: Callable[[], object], *, runs: bool, after_s: float = 0.0
    ) -> None:
        """To be called now and then: has it started where it has not run for that long."""
        if runs:
            self._died.pop(name, None)
            return
        died = self._died.setdefault(name, monotonic())
        if monotonic() - died < after_s:
            return
        log.warning("fleet: %s has ended; it is started again", name)
        try:
            start()
        except Exception as error:  # of Ray, whichever: the next look may find it better
            log.warning("fleet: %s is not there yet: %s", name, redact(error) or type(error))
        else:
            del self._died[name]
