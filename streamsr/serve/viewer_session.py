"""Viewers' sessions: who watches what, for how long, and how many at once."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsr.core.status import OutputStatus, StreamStatus
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream
from streamsr.serve.av_sync import AvSync
from streamsr.serve.peer import Peer
from streamsr.serve.sdp import Fragment, Offer

__all__ = ["Deadlines", "FullError", "Served", "Session", "Sessions", "UnsupportedRestartError"]

CAPACITY = 64  # packets between the broadcaster and a session: a stall of the loop of about 0.6 s
MAX_CANDIDATES = 60  # trickled in one session: each makes us send checks to where it points
WATCH_S = 1.0  # how often a session looks whether its viewer is still there

log = logging.getLogger(__name__)


class FullError(Exception):
    """There are as many viewers as are allowed."""


class UnsupportedRestartError(ValueError):
    """A viewer wants to restart ICE, which is not done here: it can begin a new session."""


@dataclass(frozen=True, slots=True)
class Served:
    """A stream that can be watched."""

    broadcaster: Broadcaster
    status: Callable[[], StreamStatus]
    # A picture as JPEG; raises TimeoutError or StreamsrError in a few seconds where there is none
    snapshot: Callable[[], Awaitable[bytes]] | None = None
    hls: Path | None = None  # the folder of index.m3u8, which another process fills
    outputs: Callable[[], Sequence[OutputStatus]] = tuple


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When a session is given up, in seconds."""

    connect_s: float = 12.0  # from the answer to a connection
    # From the last byte the viewer sent. It owes a report every 5 s at the latest, 7.5 s when
    # randomised, even when it receives nothing (RFC 3550, 6.2 and 6.3.1).
    silent_s: float = 15.0
    close_s: float = 1.5  # for saying goodbye


class Session:
    """One viewer of one stream, from its offer to its end."""

    def __init__(
        self, stream: str, broadcaster: Broadcaster, offer: Offer, deadlines: Deadlines
    ) -> None:
        self.stream = stream
        self._broadcaster = broadcaster
        self._ufrag = offer.ufrag
        self._why = "it left"
        self._candidates = 0  # trickled so far
        self._deadlines = deadlines
        self._peer = Peer(offer, broadcaster.request_keyframe)

    async def answer(self) -> str:
        """Return the SDP answer. Raises UnacceptableOfferError."""
        try:
            return await self._peer.answer()
        except BaseException:
            await self.close()
            raise

    async def trickle(self, fragment: Fragment) -> None:
        """Take candidates that the viewer has found since its offer."""
        if fragment.ufrag not in (None, self._ufrag):
            raise UnsupportedRestartError("ICE restarts are not supported: send a new offer")
        room = MAX_CANDIDATES - self._candidates
        taken = fragment.candidates[:room]
        self._candidates += len(taken)
        await self._peer.add_candidates(taken)

    async def run(self) -> str:
        """Send until the viewer or the stream goes; return why it ended, for the log."""
        return await _first(self._send(), self._left())

    def stop(self) -> None:
        """Have ``run`` end."""
        self._why = "it was ended"
        self._peer.gone.set()

    async def close(self) -> None:
        """Say goodbye and free everything, within the deadline."""
        try:
            async with asyncio.timeout(self._deadlines.close_s):
                await self._peer.close()
        except TimeoutError:
            log.warning("stream %s: a viewer's connection did not close in time", self.stream)

    async def _send(self) -> str:
        try:
            async with asyncio.timeout(self._deadlines.connect_s):
                await self._peer.connected.wait()
        except TimeoutError:
            return "it never connected"
        return await _first(self._pump(), self._watch())

    async def _pump(self) -> str:
        """Move packets from the broadcaster to the tracks: those of one instant together."""
        tracks = self._peer.tracks
        pacer = AvSync()
        subscription = self._broadcaster.subscribe(tracks.keys(), CAPACITY)
        try:
            while True:
                for packet in pacer.push(await subscription.receive()):
                    tracks[packet.track].offer(packet)
        except EndOfStream:
            return "the stream ended"
        finally:
            self._broadcaster.unsubscribe(subscription)

    async def _watch(self) -> str:
        """Wait until nothing has come from the viewer for too long.

        aioice notices too, but only after six failed checks, half a minute in all.
        """
        loop = asyncio.get_running_loop()
        heard, heard_s = -1, loop.time()
        while loop.time() - heard_s < self._deadlines.silent_s:
            await asyncio.sleep(min(WATCH_S, self._deadlines.silent_s / 4))
            received = await self._peer.received_bytes()
            if received != heard:
                heard, heard_s = received, loop.time()
        return "it vanished"

    async def _left(self) -> str:
        await self._peer.gone.wait()
        return self._why


class Sessions:
    """All sessions of a server. Whoever knows a session's secret may end it."""

    def __init__(self, viewers: int, deadlines: Deadlines) -> None:
        self._viewers = viewers
        self._deadlines = deadlines
        self._opening = 0
        self._open: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._open) + self._opening

    def watching(self, stream: str) -> int:
        """How many sessions of this stream there are."""
        return sum(session.stream == stream for session, _ in self._open.values())

    async def open(self, stream: str, broadcaster: Broadcaster, offer: Offer) -> tuple[str, str]:
        """Begin a session; return its secret and its SDP answer.

        Raises FullError, or UnacceptableOfferError.
        """
        if self._closed or len(self) >= self._viewers:
            raise FullError
        self._opening += 1
        try:
            session = Session(stream, broadcaster, offer, self._deadlines)
            answer = await session.answer()
            if self._closed:
                await session.close()
                raise FullError
        finally:
            self._opening -= 1
        secret = secrets.token_urlsafe(16)  # 128 bits
        task = asyncio.create_task(self._supervise(secret, session), name=f"viewer of {stream}")
        self._open[secret] = session, task
        log.info("stream %s: a viewer came, %d now", stream, len(self))
        return secret, answer

    def find(self, stream: str, secret: str) -> Session | None:
        """The session of this stream with this secret."""
        session, _ = self._open.get(secret, (None, None))
        return session if session is not None and session.stream == stream else None

    async def end(self, session: Session) -> None:
        """End a session and wait until it is gone."""
        await self._stop([pair for pair in self._open.values() if pair[0] is session])

    async def close(self) -> None:
        """End all sessions, and let none begin."""
        self._closed = True
        await self._stop(list(self._open.values()))

    async def _stop(self, pairs: list[tuple[Session, asyncio.Task[None]]]) -> None:
        for session, _ in pairs:
            session.stop()
        if pairs:
            await asyncio.wait([task for _, task in pairs])

    async def _supervise(self, secret: str, session: Session) -> None:
        why = "it failed"
        try:
            why = await session.run()
        except Exception:
            # A fault with one viewer, whatever it is, must not reach the others.
            log.exception("stream %s: a viewer's session failed", session.stream)
        finally:
            try:
                await session.close()
            finally:
                del self._open[secret]
                log.info("stream %s: a viewer went (%s), %d now", session.stream, why, len(self))


async def _first(*coroutines: Coroutine[None, None, str]) -> str:
    """Run these until one has ended, and return its result; the others are cancelled."""
    tasks = [asyncio.create_task(c, name="part of a viewer's session") for c in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done.pop().result()
