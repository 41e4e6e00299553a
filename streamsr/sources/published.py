"""What is published to a stream by WHIP, as a source: the main process hands it on over HTTP."""

import threading
from collections.abc import Iterator

from streamsr.core.errors import SourceError
from streamsr.core.events import Emit
from streamsr.core.settings import InputSettings
from streamsr.media.addresses import PUBLISHED
from streamsr.media.source import Item
from streamsr.sources.live import LiveSource

__all__ = ["PublishedSource"]


class PublishedSource(LiveSource):
    """A camera that comes when it likes: one publisher after another."""

    retry_s = 0.1, 0.5  # nobody is bothered by it

    def __init__(self, settings: InputSettings, emit: Emit) -> None:
        address = settings.url.removeprefix(f"{PUBLISHED}+")
        super().__init__(
            address, emit, give_up_s=settings.give_up_s, deinterlace=settings.deinterlace
        )
        self.name = PUBLISHED

    def _connection(self, stop: threading.Event) -> Iterator[Item]:
        came = False
        try:
            for item in super()._connection(stop):
                came = True
                yield item
        except SourceError as error:
            raise error if came else SourceError("nobody publishes to it") from None
        raise SourceError("its publisher has left")
