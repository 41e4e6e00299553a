"""What the broker retains, as far as is known, and what to send to make it right. Pure."""

from collections.abc import Iterable, Mapping

__all__ = ["RetainedCache"]

MAX_FOREIGN = 300  # topics not sent by this connection that it clears


class RetainedCache:
    """The retained messages of one node's topics at the broker."""

    def __init__(self) -> None:
        self._payloads: dict[str, bytes | None] = {}  # by topic; None: there is one, unknown
        self._foreign = 0

    def clear(self) -> None:
        """Starts a connection: nothing is known of what the broker retains."""
        self._payloads.clear()
        self._foreign = 0

    def set(self, topic: str, payload: bytes) -> None:
        """Notes what the broker retains now, which anyone may send; an empty payload is nothing."""
        if payload:
            self._payloads[topic] = payload
        else:
            self._payloads.pop(topic, None)

    def invalidate(self, topics: Iterable[str]) -> None:
        """Notes that the broker may retain anything here: it is sent again, or cleared."""
        for topic in topics:
            foreign = topic not in self._payloads
            if not foreign or self._foreign < MAX_FOREIGN:
                self._foreign += foreign
                self._payloads[topic] = None

    def reconcile(self, wanted: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
        """Topics and payloads to send, in the order of ``wanted``; an empty payload clears."""
        cleared = [(topic, b"") for topic in self._payloads if topic not in wanted]
        return cleared + [(t, p) for t, p in wanted.items() if self._payloads.get(t) != p]
