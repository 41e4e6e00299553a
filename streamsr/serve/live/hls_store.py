"""One stream's HLS in memory: made while somebody plays it, and for a while after."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from streamsr.core.settings import HlsSettings
from streamsr.serve.live.feed import Feed
from streamsr.serve.live.fragmenter import MediaFragment
from streamsr.serve.live.segments import SegmentWindow

__all__ = ["HlsStore"]

IDLE_S = 30.0  # without a request, until it is no longer made
GONE_S = 10.0  # that a stream which was removed may take to be begun again: twice a stop


class HlsStore:
    """A feed's reader: its window, and waiting for what comes next in it.

    The window outlasts a feed: a stream that is removed and soon begun again, by other settings,
    goes on in it after a discontinuity. A player that was told of an end would not come back.
    """

    def __init__(self, settings: HlsSettings, over: Callable[[], bool]) -> None:
        """``over``: whether a stream whose feed ends has ended, and was not removed."""
        self.settings = settings  # others are for the next window: a playlist keeps its durations
        self._over = over
        self._feed: Feed | None = None  # while it is made
        self._shift_s: Fraction | None = None  # from the feed's time to the window's
        self._waiting = 0  # requests that wait for something of it
        self._idle: asyncio.TimerHandle | None = None
        self._gone: asyncio.TimerHandle | None = None  # its stream was removed
        self._changed = asyncio.Event()  # another one after each change
        self.epoch_s: float | None = None  # Unix time of second 0 of the window
        self.window = self._new_window(None)

    def use(self, feed: Feed) -> None:
        """Begins, unless it has: the window grows until nobody has asked for long."""
        self._begin_idling()
        self._stop_ending()
        if self._feed is feed:
            return
        self._leave()
        if self.window.ended:
            self._begin_again()
        self._feed, self._shift_s = feed, None
        feed.add(self)

    def lose(self) -> None:
        """Its stream was removed: ends, unless that is begun again soon."""
        self._leave()
        if self._gone is None and not self.window.ended:
            self._gone = asyncio.get_running_loop().call_later(GONE_S, self._finish)

    def close(self) -> None:
        """Makes no more of it; requests that wait for something are answered."""
        if self._idle is not None:
            self._idle.cancel()
        self._finish()
        self._leave()

    def offer(self, fragment: MediaFragment) -> None:
        now_s = time.time() - float(fragment.lasts_s)
        if self.epoch_s is None:
            self.epoch_s, self._shift_s = now_s - float(fragment.begins_s), Fraction(0)
        if self._shift_s is None:
            begins_s = Fraction(now_s - self.epoch_s).limit_denominator(1000)
            self._shift_s = max(begins_s, self.window.ends_s) - fragment.begins_s
        if self.window.add(replace(fragment, begins_s=fragment.begins_s + self._shift_s)):
            self._tell()

    def end(self) -> None:
        """The feed has ended, and the playlist with it where that is the stream's end."""
        if self._feed is None:
            return
        self._feed = None
        if self._over():
            self._finish()
        else:
            self.lose()

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
        self._begin_again()
        self._tell()

    def _finish(self) -> None:
        """Closes the playlist: there will be no more."""
        self._stop_ending()
        self.window.end()
        self._tell()

    def _stop_ending(self) -> None:
        if self._gone is not None:
            self._gone.cancel()
            self._gone = None

    def _leave(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.remove(self)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _begin_again(self) -> None:
        self.window, self.epoch_s = self._new_window(self.window), None

    def _new_window(self, before: SegmentWindow | None) -> SegmentWindow:
        """Names are used once, also over a restart of the program: players keep what they have."""
        settings = self.settings
        first = max(int(time.time()), before.next_number if before is not None else 0)
        window = SegmentWindow(first, settings.segment_s, settings.segments, self._request_keyframe)
        window.discontinuities = before.discontinuities_after if before is not None else 0
        return window

    def _request_keyframe(self) -> None:
        if self._feed is not None:
            self._feed.request_keyframe()
