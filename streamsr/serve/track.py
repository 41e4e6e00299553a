"""Tracks that hand aiortc packets which are encoded already."""

from collections.abc import Callable
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streamsr.core.packet import AUDIO_TRACKS, Packet, Track
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
        self._queue = Subscription({track}, CAPACITY, request_keyframe)

    @property
    def dropped(self) -> int:
        """Packets that were not sent: the sender was too slow, or they came before a keyframe."""
        return self._queue.dropped

    def offer(self, packet: Packet) -> None:
        """Queues a packet for the sender; never waits."""
        self._queue.offer(packet)

    async def recv(self) -> "av.Packet[Any]":
        """Waits for the next packet, as aiortc's sender asks for it."""
        try:
            packet = await self._queue.receive()
        except EndOfStream:
            raise MediaStreamError from None
        encoded = av.Packet(packet.data)
        encoded.pts = packet.pts
        encoded.time_base = packet.time_base
        return encoded

    def stop(self) -> None:
        """Ends the track: ``recv`` raises once the queue is empty."""
        self._queue.end()
        super().stop()
