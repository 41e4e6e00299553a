"""What happens: codes, events, the journal that tells changes, and the log."""

from streamsr.core.events.codes import Code
from streamsr.core.events.event import Emit, Event

__all__ = ["Code", "Emit", "Event"]
