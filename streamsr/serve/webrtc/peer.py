"""One WebRTC connection to one viewer, its tracks, and the workarounds for aiortc and aioice."""

import uuid
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceCandidate,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError
from aiortc.mediastreams import VIDEO_CLOCK_RATE, MediaStreamError

from streamsr.core.packet import AUDIO_TRACKS, Track
from streamsr.ipc.broadcaster import EndOfStream, Subscription
from streamsr.serve.webrtc.ice_network import IceNetwork
from streamsr.serve.webrtc.sdp import Offer, UnacceptableOfferError

__all__ = ["PacketTrack", "Peer"]

CAPACITY = 32  # packets; a sender over UDP keeps up, so more than a few means a stalled loop
CODECS = {
    "video": ("video/h264", "video/rtx"),
    "audio": ("audio/opus",),
}


class PacketTrack(MediaStreamTrack):
    """One track of one viewer: a short queue that resumes at a keyframe when it has overflowed.

    aiortc sends an ``av.Packet`` as it is, without an encode of its own, if it carries Annex B (or
    Opus), ``pts`` and ``time_base``.
    """

    def __init__(self, track: Track, request_keyframe: Callable[[], None]) -> None:
        super().__init__()
        self.kind = "audio" if track in AUDIO_TRACKS else "video"
        self.sender: RTCRtpSender | None = None  # that asks for its packets
        self.rtp_origin: int | None = None  # the RTP time stamp of time 0, once a packet was sent
        self._handed_out: Fraction | None = None  # seconds: the time of the newest packet
        self.queue = Subscription({track}, CAPACITY, request_keyframe)  # of packets for the sender

    async def recv(self) -> "av.Packet[Any]":
        """Waits for the next packet. aiortc's sender asks for it: the one before has been sent."""
        self._note_origin()
        try:
            packet = await self.queue.receive()
        except EndOfStream:
            raise MediaStreamError from None
        self._handed_out = packet.pts * packet.time_base
        encoded = av.Packet(packet.data)
        encoded.pts = packet.pts
        encoded.time_base = packet.time_base
        return encoded

    def _note_origin(self) -> None:
        """A sender adds a random origin to its time stamps (RFC 3550, 5.1) and keeps it private."""
        if self.rtp_origin is None and self._handed_out is not None:
            sent = getattr(self.sender, "_RTCRtpSender__rtp_timestamp", None)
            if sent:
                self.rtp_origin = (sent - int(self._handed_out * VIDEO_CLOCK_RATE)) % 2**32

    def stop(self) -> None:
        """Ends the track: ``recv`` raises once the queue is empty."""
        self.queue.end()
        super().stop()


class Peer:
    """A connection that sends the packets of a stream to one viewer."""

    def __init__(
        self,
        offer: Offer,
        network: IceNetwork,
        request_keyframe: Callable[[], None],
        connected: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        """``connected`` is called when packets can be sent, ``lost`` when no more can be."""
        self.tracks: dict[Track, PacketTrack] = {}
        self._offer = offer
        self._request_keyframe = request_keyframe
        self._connected = connected
        self._lost = lost
        # Without a list of its own aiortc asks a public STUN server where we are.
        self._pc = RTCPeerConnection(
            RTCConfiguration(network.servers(), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._pc.on("connectionstatechange", self._changed)
        # The transceivers must be there, with their codecs, before the offer is: aiortc chooses
        # the codec while it reads it, would choose VP8, and send our H.264 as such.
        tracks = {"video": iter((Track.OUTPUT, Track.INPUT)), "audio": iter((Track.OPUS,))}
        for kind, wanted in offer.media:
            self._add(kind, next(tracks[kind], None) if wanted else None)
        network.attach(self._pc.getTransceivers()[0])  # its connection is that of the whole bundle

    async def answer(self) -> str:
        """Accepts the offer; returns the SDP answer.

        Raises UnacceptableOfferError, or NoPortError.
        """
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
        except OperationError:
            raise UnacceptableOfferError("no codec in common: H.264 and Opus are sent") from None
        await self._pc.setLocalDescription()
        return self._pc.localDescription.sdp

    async def add_candidates(self, candidates: Iterable[RTCIceCandidate]) -> None:
        """Tries these addresses too."""
        for candidate in candidates:
            candidate.sdpMid = self._pc.getTransceivers()[0].mid  # it carries the whole bundle
            await self._pc.addIceCandidate(candidate)

    async def received_bytes(self) -> int:
        """Bytes of RTCP and DTLS that have come from the viewer."""
        stats = await self._pc.getStats()
        return max((s.bytesReceived for s in stats.values() if s.type == "transport"), default=0)

    async def close(self) -> None:
        """Ends the connection and frees everything."""
        for track in self.tracks.values():
            track.stop()
        await self._pc.close()

    def _changed(self) -> None:
        if self._pc.connectionState == "connected":
            self._connected()
        elif self._pc.connectionState in ("failed", "closed"):
            self._lost()

    def _add(self, kind: str, track: Track | None) -> None:
        if track is None:
            transceiver = self._pc.addTransceiver(kind, direction="inactive")
        else:
            self.tracks[track] = PacketTrack(track, self._request_keyframe)
            transceiver = self._pc.addTransceiver(self.tracks[track], direction="sendonly")
            self.tracks[track].sender = transceiver.sender
            if kind == "video":
                _hook_keyframe_requests(transceiver.sender, self._request_keyframe)
            if track == Track.INPUT:
                # Chromium delays one video track of a media stream to fit its audio track. A
                # stream of its own makes sure that this is the output.
                transceiver.sender._stream_id = str(uuid.uuid4())
        known = RTCRtpSender.getCapabilities(kind).codecs
        transceiver.setCodecPreferences([c for c in known if c.mimeType.lower() in CODECS[kind]])


def _hook_keyframe_requests(sender: RTCRtpSender, request_keyframe: Callable[[], None]) -> None:
    """Makes a viewer's PLI or FIR (RFC 4585, RFC 5104) reach the encoder.

    aiortc only remembers it for the encoder of its own, which ready-made packets never meet. There
    is no public way in; if a release renames the method, a test with a real PLI says so.
    """
    sender._send_keyframe = request_keyframe  # type: ignore[method-assign]
