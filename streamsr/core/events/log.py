"""The log: how events and what else happens become lines on stderr."""

import logging

from streamsr.core.events.codes import Severity
from streamsr.core.events.event import Event
from streamsr.core.events.journal import Journal
from streamsr.core.redact import redact

__all__ = ["log_event", "logged_journal"]

LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}

logger = logging.getLogger("streamsr")


def log_event(event: Event) -> None:
    """Logs an event, as severe as its code is."""
    about = f" [{event.subject}]" if event.subject else ""
    logger.log(LEVELS[event.facts.severity], "%s%s %s", event.code, about, redact(event.text))


def logged_journal() -> Journal:
    """Returns a journal whose changes are logged."""
    journal = Journal()
    journal.listeners.append(log_event)
    return journal
