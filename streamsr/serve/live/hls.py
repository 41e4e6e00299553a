"""HLS over HTTP, with low latency (RFC 8216bis): playlists that wait, segments and their parts."""

import re
from collections.abc import Mapping

from aiohttp import web

from streamsr.core.packet import Track
from streamsr.serve.access.links import LINK, carried
from streamsr.serve.live.feed import Feeds
from streamsr.serve.live.hls_store import HlsStore
from streamsr.serve.live.playlist import PLAYLIST, media_playlist
from streamsr.serve.live.segments import SegmentWindow
from streamsr.serve.served import Served

__all__ = ["Hls"]

FILE = re.compile(r"(?:(?P<init>init)|seg)_(?P<number>\d{1,18})(?:\.(?P<part>\d{1,6}))?\.(mp4|m4s)")
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"  # RFC 8216, 4
INIT_TYPE, SEGMENT_TYPE = "video/mp4", "video/iso.segment"
FIRST_S = 10.0  # for a stream to have enough for a player to begin with
TARGETS = 3  # target durations that a request may wait for what comes next (6.2.5.2)
AHEAD = 2  # segments that a player may ask for before they are there (6.2.5.2)


class Hls:
    """The handler of /hls."""

    def __init__(self, streams: Mapping[str, Served], feeds: Feeds) -> None:
        self._streams = streams
        self._feeds = feeds
        self._stores: dict[str, HlsStore] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/hls/{stream}/{file}", self.file)]

    def close(self) -> None:
        """Makes no more of any; requests that wait are answered."""
        for store in self._stores.values():
            store.close()

    async def file(self, request: web.Request) -> web.Response:
        """The playlist, or what it names; of what is next in it once that is there."""
        name = request.match_info["file"]
        match = FILE.fullmatch(name)
        if match is None and name != PLAYLIST:
            raise web.HTTPNotFound(text="no such file")
        store = self._store(request.match_info["stream"])
        if match is None:
            text = await self._playlist(store, request)
            link = request.get(LINK)
            text = text if link is None else carried(text, link)
            return web.Response(body=text.encode(), headers=_headers(PLAYLIST_TYPE))
        number, part = int(match["number"]), match["part"]
        if match["init"]:
            init = store.window.init(number)
            return _answer(init.data if init is not None else None, INIT_TYPE)
        if part is not None:
            return _answer(await _part(store, number, int(part)), SEGMENT_TYPE)
        segment = store.window.find(number)
        whole = segment is not None and segment.complete
        data = b"".join(p.data for p in segment.parts) if segment is not None and whole else None
        return _answer(data, SEGMENT_TYPE)

    def _store(self, stream: str) -> HlsStore:
        """The HLS of a stream that has some, which is made from now on.

        One that was removed has it for a while: it may be about to be begun again.
        """
        self._forget_removed()
        served, store = self._streams.get(stream), self._stores.get(stream)
        if served is None and store is not None:
            return store
        if served is None or served.hls is None:
            raise web.HTTPNotFound(text="no such file")
        if store is None:
            store = self._stores[stream] = HlsStore(served.hls, lambda: self._over(stream))
        store.settings = served.hls
        feed = self._feeds.find(stream, Track.OUTPUT, audio=served.hls.audio)
        if feed is not None:
            store.use(feed)
        elif not store.window.ended:
            raise web.HTTPNotFound(text="the stream has ended")
        return store

    def _over(self, stream: str) -> bool:
        """Whether a stream has ended by itself; one that is removed is no longer in the list."""
        served = self._streams.get(stream)
        return served is not None and served.broadcaster.closed

    def _forget_removed(self) -> None:
        for name, store in list(self._stores.items()):
            served = self._streams.get(name)
            if served is None:
                store.lose()
            if store.window.ended if served is None else served.hls is None:
                self._stores.pop(name).close()

    async def _playlist(self, store: HlsStore, request: web.Request) -> str:
        number, part = _asked(request, "_HLS_msn"), _asked(request, "_HLS_part")
        if part is not None and number is None:
            raise web.HTTPBadRequest(text="_HLS_part: allowed is it with _HLS_msn alone")
        if not await store.until(lambda window: window.playable, FIRST_S):
            raise web.HTTPServiceUnavailable(
                text="there is not enough of the stream yet", headers={"Retry-After": "2"}
            )
        if number is not None:
            if number > store.window.next_number - 1 + AHEAD:
                raise web.HTTPBadRequest(text="_HLS_msn: it is too far ahead")
            await store.until(lambda window: _has(window, number, part), _patience_s(store))
        skip = request.query.get("_HLS_skip") in ("YES", "v2")
        return media_playlist(store.window, store.epoch_s or 0.0, skip=skip)


async def _part(store: HlsStore, number: int, index: int) -> bytes | None:
    """A part, for which it waits where it is the next one; None where there is none."""
    window = store.window
    growing = window.open
    following = (
        (growing.number, len(growing.parts)) if growing is not None else (window.next_number, 0)
    )
    if (number, index) == following:
        await store.until(lambda window: _has(window, number, index), _patience_s(store))
    segment = window.find(number)
    found = segment.parts[index : index + 1] if segment is not None else []
    return found[0].data if found else None


def _has(window: SegmentWindow, number: int, part: int | None) -> bool:
    """Whether a segment, or a part of it, is in the playlist, or what comes after it is.

    Of a segment that has ended before that part, the next one's first part is what is waited for.
    """
    growing = window.open
    newest = growing.number if growing is not None else window.next_number
    if newest != number:
        after = newest > number
        segment = window.find(number)
        if after and part is not None and segment is not None and part >= len(segment.parts):
            return newest > number + 1 or bool(growing and growing.parts)
        return after
    return part is not None and growing is not None and part < len(growing.parts)


def _patience_s(store: HlsStore) -> float:
    return TARGETS * float(store.window.segment_s)


def _asked(request: web.Request, key: str) -> int | None:
    text = request.query.get(key)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise web.HTTPBadRequest(text=f"{key}: allowed is a number")
    return int(text)


def _answer(data: bytes | None, content_type: str) -> web.Response:
    if data is None:
        raise web.HTTPNotFound(text="no such file")
    return web.Response(body=data, headers=_headers(content_type))


def _headers(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type, "Cache-Control": "no-cache"}
