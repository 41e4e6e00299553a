"""Viewers' sessions: who watches what, for how long, and how many at once."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from streamsr.core.deadline import Deadline
from streamsr.core.waiting import wait_set
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.serve.access.admission import Admission
from streamsr.serve.access.rate_limit import ServerLimits
from streamsr.serve.shown import ShownFrames
from streamsr.serve.webrtc.av_sync import AvSync
from streamsr.serve.webrtc.ice_network import IceNetwork
from streamsr.serve.webrtc.peer import Peer
from streamsr.serve.webrtc.sdp import Fragment, Offer
from streamsr.serve.webrtc.trickled import TrickledCandidates

__all__ = [
    "CLOSE_SHARE",
    "WATCH_S",
    "FullError",
    "ViewerSession",
    "ViewerSessions",
]

CLOSE_SHARE = 0.3  # of the time for a stop: until a viewer's connection is closed
WATCH_S = 1.0  # how often a session looks whether its viewer is still there

log = logging.getLogger(__name__)


class FullError(Exception):
    """There are as many viewers as are allowed."""


class ViewerSession:
    """One viewer of one stream, from its offer to its end. ``run()`` it once, then close it."""

    def __init__(
        self,
        stream: str,
        broadcaster: Broadcaster,
        offer: Offer,
        network: IceNetwork,
        limits: ServerLimits,
    ) -> None:
        self.stream = stream
        self.shown = ShownFrames(broadcaster.traces)
        self._broadcaster = broadcaster
        self._candidates = TrickledCandidates(offer.ufrag)
        self._limits = limits
        self._connected = asyncio.Event()  # or it never will be
        self._ended = asyncio.Event()
        self._why = ""  # it has ended
        self._peer = Peer(
            offer,
            network,
            broadcaster.request_keyframe,
            self._connected.set,
            lambda: self.end("it left"),
        )
        tracks = self._peer.tracks
        self._sync = AvSync(
            tracks.keys(),
            lambda packet: tracks[packet.track].queue.offer(packet),
            lambda: self.end("the stream ended"),
        )

    @property
    def dropped(self) -> int:
        """Packets that were not sent: before the first frame, or since the viewer was too slow."""
        return self._sync.dropped + sum(t.queue.dropped for t in self._peer.tracks.values())

    def rtp_origins(self) -> dict[str, int | None]:
        """The RTP time stamp of the stream's time 0, by video track; None where not yet known."""
        tracks = self._peer.tracks.items()
        return {track.value: t.rtp_origin for track, t in tracks if t.kind == "video"}

    async def answer(self) -> str:
        """Returns the SDP answer. Raises UnacceptableOfferError, or NoPortError."""
        return await self._peer.answer()

    async def trickle(self, fragment: Fragment) -> None:
        """Adds candidates that the viewer has found since its offer.

        Raises UnsupportedRestartError.
        """
        await self._peer.add_candidates(self._candidates.take(fragment))

    async def run(self) -> str:
        """Sends until the viewer or the stream goes; returns why it ended, for the log."""
        if not await wait_set(self._connected, self._limits.connect_s):
            return "it never connected"
        self._broadcaster.add(self._sync)
        try:
            return await self._watch()
        finally:
            self._broadcaster.unsubscribe(self._sync)

    def end(self, why: str) -> None:
        """Makes ``run`` return; the first reason counts."""
        self._why = self._why or why
        self._ended.set()
        self._connected.set()

    async def close(self) -> None:
        """Ends the connection and frees everything."""
        try:
            async with asyncio.timeout(Deadline.after().share(CLOSE_SHARE).left_s()):
                await self._peer.close()
        except TimeoutError:
            log.warning("stream %s: a viewer's connection did not close in time", self.stream)

    async def _watch(self) -> str:
        """Waits for the end, or until nothing has come from the viewer for too long.

        aioice notices too, but only after six failed checks, half a minute in all.
        """
        loop = asyncio.get_running_loop()
        received, received_s = -1, loop.time()
        while loop.time() - received_s < self._limits.silent_s:
            if await wait_set(self._ended, min(WATCH_S, self._limits.silent_s / 4)):
                return self._why
            before, received = received, await self._peer.received_bytes()
            if received != before:
                received_s = loop.time()
        return "it vanished"


class ViewerSessions:
    """All sessions of a server. A session's secret is the right to end it."""

    def __init__(self, limits: ServerLimits, network: IceNetwork) -> None:
        self._limits = limits
        self._network = network
        self._opening = 0
        self._open: dict[str, ViewerSession] = {}  # by secret
        self._tasks: dict[ViewerSession, asyncio.Task[None]] = {}  # of open sessions
        self._dropped: Counter[str] = Counter()  # packets of ended sessions, by stream
        self._closed = False

    def __len__(self) -> int:
        return len(self._open) + self._opening

    def watching(self, stream: str) -> int:
        """How many sessions of this stream there are."""
        return len(self._of(stream))

    def dropped(self, stream: str) -> int:
        """How many packets of this stream were not sent to a viewer, since the server started."""
        return self._dropped[stream] + sum(session.dropped for session in self._of(stream))

    async def open(
        self, stream: str, broadcaster: Broadcaster, offer: Offer, admission: Admission
    ) -> tuple[str, str]:
        """Begins a session, for as long as ``admission``; returns its secret and its SDP answer.

        Raises FullError, NoPortError or UnacceptableOfferError.
        """
        if self._closed or len(self) >= self._limits.viewers:
            raise FullError
        self._opening += 1
        try:
            session = ViewerSession(stream, broadcaster, offer, self._network, self._limits)
            try:
                answer = await session.answer()
                if self._closed:
                    raise FullError
            except BaseException:
                await session.close()
                raise
        finally:
            self._opening -= 1
        secret = secrets.token_urlsafe(16)  # 128 bits
        self._open[secret] = session
        work = self._supervise(secret, session, admission)
        task = asyncio.create_task(work, name=f"viewer of {stream}")
        self._tasks[session] = task
        log.info("stream %s: a viewer came, %d now", stream, len(self))
        return secret, answer

    def find(self, stream: str, secret: str) -> ViewerSession | None:
        """The session of this stream with this secret."""
        session = self._open.get(secret)
        return session if session is not None and session.stream == stream else None

    async def end(self, session: ViewerSession) -> None:
        """Ends a session and waits until it is gone."""
        await self._end([session], Deadline.after())

    async def close(self, deadline: Deadline) -> None:
        """Ends all sessions, and refuses new ones."""
        self._closed = True
        await self._end(list(self._tasks), deadline)

    def _of(self, stream: str) -> list[ViewerSession]:
        return [session for session in self._tasks if session.stream == stream]

    async def _end(self, sessions: Sequence[ViewerSession], deadline: Deadline) -> None:
        for session in sessions:
            session.end("it was ended")
        ending = asyncio.gather(*(self._tasks[s] for s in sessions), return_exceptions=True)
        with suppress(TimeoutError):  # those that are late are cancelled
            async with asyncio.timeout(deadline.left_s()):
                await ending

    async def _supervise(self, secret: str, session: ViewerSession, admission: Admission) -> None:
        why = "it failed"
        try:
            async with admission.ending(session.end):
                why = await session.run()
        except Exception:
            # A fault with one viewer, whatever it is, must not reach the others.
            log.exception("stream %s: a viewer's session failed", session.stream)
        finally:
            try:
                await session.close()
            finally:
                del self._open[secret], self._tasks[session]
                self._dropped[session.stream] += session.dropped
                log.info("stream %s: a viewer went (%s), %d now", session.stream, why, len(self))
