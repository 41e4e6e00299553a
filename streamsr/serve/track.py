"""Tracks that hand aiortc packets which are encoded already."""

from collections.abc import Callable
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streamsr.core.packet import AUDIO_TRACKS, Track
from streamsr.ipc.broadcaster import EndOfStream, Subscription

__all__ = ["PacketTrack"]

CAPACITY = 32  # packets; a sender over UDP keeps up, so more than a few means a stalled loop


class PacketTrack(MediaStreamTrack):
    """One track of one viewer: a short queue that resumes at a keyframe when it has overflowed.

    aiortc sends an ``av.Packet`` as it is, without an encode of its own, if it carries Annex B (or
    Opus), ``pts`` and ``time_base``.
    """

    def __init__(self, track: Track, request_keyframe: Callable[[], None]) -> None:
        super().__init__()
        self.kind = "audio" if track in AUDIO_TRACKS else "video"
        self.queue = Subscription({track}, CAPACITY, request_keyframe)  # of packets for the sender

    async def recv(self) -> "av.Packet[Any]":
        """Waits for the next packet, as aiortc's sender asks for it."""
        try:
            packet = await self.queue.receive()
        except EndOfStream:
            raise MediaStreamError from None
        encoded = av.Packet(packet.data)
        encoded.pts = packet.pts
        encoded.time_base = packet.time_base
        return encoded

    def stop(self) -> None:
        """Ends the track: ``recv`` raises once the queue is empty."""
        self.queue.end()
        super().stop()
