"""One publisher of one stream, from its offer to its end."""

import asyncio
import logging
from collections.abc import Coroutine
from fractions import Fraction
from typing import Any

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError

from streamsr.bitstream.h264 import NAL_IDR, NAL_SPS, LossDetector, nal_units
from streamsr.core.packet import Packet, Track
from streamsr.core.waiting import wait_set
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.serve.webrtc.ice_network import IceNetwork
from streamsr.serve.webrtc.peer import CODECS
from streamsr.serve.webrtc.sdp import Fragment, Offer, UnacceptableOfferError
from streamsr.serve.webrtc.trickled import TrickledCandidates
from streamsr.serve.whip.receiving import EncodedReceiver
from streamsr.serve.whip.rtp_clock import RtpClock

__all__ = ["Publisher"]

RATES = {"video": 90_000, "audio": 48_000}  # ticks of RTP a second (RFC 6184, RFC 7587)
TRACKS = {"video": Track.INPUT, "audio": Track.OPUS}
CONNECT_S = 12.0  # from the answer to a connection
VANISHED_S = 5.0  # without a packet: another one may publish then
LOOK_S = 0.25  # between two looks at what comes
STUCK_S = 0.4  # that packets come and no frame is whole: one was lost for good
CLOSE_S = 1.5  # for the connection to be closed

log = logging.getLogger(__name__)


class Publisher:
    """Hands its packets to ``broadcaster``, video as Track.INPUT and audio as Track.OPUS.

    ``run()`` it once, then ``close()``. It decodes nothing.
    """

    def __init__(self, offer: Offer, network: IceNetwork) -> None:
        """``offer`` is one to send."""
        self.broadcaster = Broadcaster(lambda _: self._ask())
        self.audio = ("audio", True) in offer.media
        self._offer = offer
        self._candidates = TrickledCandidates(offer.ufrag)
        self._connected = asyncio.Event()  # or it never will be
        self._ended = asyncio.Event()
        self._why = ""  # it has ended
        self._clock = RtpClock({kind: RATES[kind] for kind, sends in offer.media if sends})
        self._losses = LossDetector()
        self._damaged = True  # until a keyframe
        self._newest: dict[str, int] = {}  # pts of each track
        self._alive_s = 0.0  # loop time of the newest packet
        self._heard_s = self._whole_s = 0.0  # of the newest packet and frame of video
        self._tasks: set[asyncio.Task[None]] = set()
        self._pc = RTCPeerConnection(
            RTCConfiguration(network.servers(), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._pc.on("connectionstatechange", self._changed)
        self._video: EncodedReceiver | None = None
        wanted = {"video", "audio"}
        for kind, sends in offer.media:
            self._add(kind, receives=sends and kind in wanted)
            wanted -= {kind} if sends else set()
        network.attach(self._pc.getTransceivers()[0])

    async def answer(self) -> str:
        """Accepts the offer; returns the SDP answer.

        Raises UnacceptableOfferError, or NoPortError.
        """
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
        except OperationError:
            raise UnacceptableOfferError(
                "no codec in common: H.264 and Opus are taken, which browsers and OBS offer"
            ) from None
        await self._pc.setLocalDescription()
        return self._pc.localDescription.sdp

    async def trickle(self, fragment: Fragment) -> None:
        """Adds candidates that the publisher has found since its offer.

        Raises UnsupportedRestartError.
        """
        for candidate in self._candidates.take(fragment):
            candidate.sdpMid = self._pc.getTransceivers()[0].mid
            await self._pc.addIceCandidate(candidate)

    async def run(self) -> str:
        """Receives until the publisher goes; returns why it ended, for the log."""
        if not await wait_set(self._connected, CONNECT_S):
            return "it never connected"
        loop = asyncio.get_running_loop()
        self._alive_s = self._heard_s = self._whole_s = loop.time()
        while not await wait_set(self._ended, LOOK_S):
            now_s = loop.time()
            if now_s - self._alive_s > VANISHED_S:
                return "it vanished"
            if now_s - self._whole_s > STUCK_S and self._heard_s > self._whole_s:
                self._skip_lost(now_s)
        return self._why

    def end(self, why: str) -> None:
        """Makes ``run`` return; the first reason counts."""
        self._why = self._why or why
        self._ended.set()
        self._connected.set()

    async def close(self) -> None:
        """Ends the connection, and tells who reads that there is no more."""
        self.broadcaster.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._pc.close()
        except TimeoutError:
            log.warning("a publisher's connection did not close in time")

    def _add(self, kind: str, *, receives: bool) -> None:
        direction = "recvonly" if receives else "inactive"
        transceiver = self._pc.addTransceiver(kind, direction=direction)
        known = RTCRtpReceiver.getCapabilities(kind)
        assert known is not None
        usable = [c for c in known.codecs if c.mimeType.lower() in CODECS[kind]]
        transceiver.setCodecPreferences(usable)
        if not receives:
            return
        receiver = EncodedReceiver(
            transceiver.receiver,
            self._take_video if kind == "video" else self._take_audio,
            lambda ntp, stamp: self._clock.report(kind, ntp, stamp),
            lambda: self._hear(kind),
        )
        if kind == "video":
            self._video = receiver

    def _changed(self) -> None:
        if self._pc.connectionState == "connected":
            self._connected.set()
        elif self._pc.connectionState in ("failed", "closed"):
            self.end("it left")

    def _hear(self, kind: str) -> None:
        self._alive_s = asyncio.get_running_loop().time()
        if kind == "video":
            self._heard_s = self._alive_s

    def _take_video(self, unit: bytes, stamp: int) -> None:
        self._whole_s = asyncio.get_running_loop().time()
        kinds = {unit[start] & 31 for start, _ in nal_units(unit)}
        keyframe = {NAL_SPS, NAL_IDR} <= kinds
        lost = self._losses.lost_before(unit)
        if keyframe:
            self._damaged = False
        elif lost or self._damaged:
            self.broadcaster.request_keyframe({Track.INPUT})
        if kinds and not self._damaged:
            self._publish("video", unit, stamp, keyframe=keyframe)

    def _take_audio(self, packet: bytes, stamp: int) -> None:
        if packet:
            self._publish("audio", packet, stamp, keyframe=True)

    def _publish(self, kind: str, data: bytes, stamp: int, *, keyframe: bool) -> None:
        arrived_s = asyncio.get_running_loop().time()
        pts = round(self._clock.time_s(kind, stamp, arrived_s) * RATES[kind])
        pts = max(pts, self._newest.get(kind, pts - 1) + 1)
        self._newest[kind] = pts
        self.broadcaster.publish(
            Packet(TRACKS[kind], data, pts, Fraction(1, RATES[kind]), keyframe)
        )

    def _skip_lost(self, now_s: float) -> None:
        assert self._video is not None
        self._whole_s = now_s
        self._damaged = True
        self._video.skip_lost()
        self.broadcaster.request_keyframe({Track.INPUT})

    def _ask(self) -> None:
        if self._video is not None and self._pc.connectionState == "connected":
            self._begin(self._video.request_keyframe())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="keyframe of a publisher")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
