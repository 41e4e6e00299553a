"""One stream's HLS in memory: made while somebody plays it, and for a while after."""

import asyncio
import time
from collections.abc import Callable

from streamsr.core.settings import HlsSettings
from streamsr.serve.live.feed import Feed
from streamsr.serve.live.fragmenter import MediaFragment
from streamsr.serve.live.segments import SegmentWindow

__all__ = ["HlsStore"]

IDLE_S = 30.0  # without a request, until it is no longer made


class HlsStore:
    """A feed's reader: its window, and waiting for what comes next in it."""

    def __init__(self, settings: HlsSettings) -> None:
        self.settings = settings
        self._feed: Feed | None = None  # while it is made
        self._waiting = 0  # requests that wait for something of it
        self._idle: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()  # another one after each change
        self.epoch_s: float | None = None  # Unix time of second 0 of the stream
        self.window = self._new_window(0)

    def use(self, feed: Feed) -> None:
        """Begins, unless it has: the window grows until nobody has asked for long."""
        self._begin_idling()
        if self._feed is feed:
            return
        self._leave()
        self._feed, self.epoch_s = feed, None
        self.window = self._new_window(self.window.next_number)
        feed.add(self)

    def close(self) -> None:
        """Makes no more of it; requests that wait for something are answered."""
        if self._idle is not None:
            self._idle.cancel()
        self.end()
        self._leave()

    def offer(self, fragment: MediaFragment) -> None:
        if self.epoch_s is None:
            self.epoch_s = time.time() - float(fragment.begins_s + fragment.lasts_s)
        if self.window.add(fragment):
            self._tell()

    def end(self) -> None:
        """Closes the playlist: the stream has ended."""
        if self._feed is not None:
            self.window.end()
            self._tell()

    async def until(self, condition: Callable[[SegmentWindow], bool], within_s: float) -> bool:
        """Waits until the window is so, or has ended; returns whether it is in time."""
        window = self.window
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s):
                while not condition(window):
                    if window.ended or window is not self.window:
                        return False
                    await self._changed.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def _begin_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._expire)

    def _expire(self) -> None:
        """Nobody plays it: what there is of it goes."""
        if self._waiting:
            self._begin_idling()
            return
        self._leave()
        self.window = self._new_window(self.window.next_number)
        self._tell()

    def _leave(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.remove(self)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _new_window(self, above: int) -> SegmentWindow:
        """Names are used once, also over a restart of the program: players keep what they have."""
        settings = self.settings
        first = max(int(time.time()), above)
        return SegmentWindow(first, settings.segment_s, settings.segments, self._request_keyframe)

    def _request_keyframe(self) -> None:
        if self._feed is not None:
            self._feed.request_keyframe()
