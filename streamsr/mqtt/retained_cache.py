"""What the broker is believed to keep, and what must be sent for that to be the truth. Pure."""

from collections.abc import Iterable, Mapping

__all__ = ["RetainedCache"]

STRANGERS = 300  # topics of cameras unknown to us that are cleared in one connection
_SOMETHING = b"?"  # kept by the broker, whatever it is


class RetainedCache:
    """The broker's retained messages on our topics, as far as we know them."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}  # by topic
        self._strangers = 0

    def forget(self) -> None:
        """A new connection: nothing is known of what the broker keeps."""
        self._kept.clear()
        self._strangers = 0

    def differences(self, wanted: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
        """Topics and payloads to send, in the order of ``wanted``; an empty payload clears."""
        cleared = [(topic, b"") for topic in self._kept if topic not in wanted]
        return cleared + [(t, p) for t, p in wanted.items() if self._kept.get(t) != p]

    def keeps(self, topic: str, payload: bytes) -> None:
        """The broker keeps this now, by our doing or by another's."""
        if payload:
            self._kept[topic] = payload
        else:
            self._kept.pop(topic, None)

    def found(self, topics: Iterable[str]) -> None:
        """The broker keeps something here that may be of a camera which is no more."""
        for topic in topics:
            if topic not in self._kept and self._strangers < STRANGERS:
                self._strangers += 1
                self._kept[topic] = _SOMETHING

    def doubt(self, topics: Iterable[str]) -> None:
        """These are to be sent once more, whatever the broker keeps."""
        for topic in topics:
            if topic in self._kept:
                self._kept[topic] = _SOMETHING
