"""What a publisher sends, taken out of aiortc before it would decode it.

There is no public way in: an aiortc receiver has its queue to the decoder, its clock and its
handlers replaced. If a release renames them, a test with a real publisher says so.
"""

import threading
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtcpSrPacket

__all__ = ["EncodedReceiver"]

CAPACITY = 512  # packets that wait for one that is lost


class EncodedReceiver:
    """Hands on the access units of one receiver as they were coded, in order."""

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        unit: Callable[[bytes, int], None],
        report: Callable[[int, int], None],
        heard: Callable[[], None],
    ) -> None:
        """``unit`` takes Annex B, or a packet of Opus, and its RTP time stamp; ``report`` the NTP
        time and the stamp of a sender report; ``heard`` is called at each packet."""
        self._receiver = receiver
        self._heard = heard
        self._report = report
        set_private(receiver, "decoder_queue", _Units(unit))
        set_private(receiver, "timestamp_mapper", _AsSent())
        self._on_packet, self._on_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet
        receiver._handle_rtp_packet = self._packet  # type: ignore[method-assign]
        receiver._handle_rtcp_packet = self._rtcp  # type: ignore[method-assign]

    async def request_keyframe(self) -> None:
        """Tells the publisher that the video cannot be decoded (PLI, RFC 4585, 6.3.1)."""
        for source in self._receiver.getSynchronizationSources():
            await self._receiver._send_rtcp_pli(source.source)

    def skip_lost(self) -> None:
        """Gives up a packet that did not come again, and all that waits for it."""
        set_private(self._receiver, "jitter_buffer", JitterBuffer(CAPACITY, is_video=True))
        set_private(self._receiver, "nack_generator", NackGenerator())

    async def _packet(self, packet: Any, arrival_time_ms: int) -> None:
        self._heard()
        await self._on_packet(packet, arrival_time_ms)

    async def _rtcp(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            self._report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
        await self._on_rtcp(packet)


class _Units:
    """In place of the queue to aiortc's decoder: its thread waits here until the end."""

    def __init__(self, unit: Callable[[bytes, int], None]) -> None:
        self._unit = unit
        self._ended = threading.Event()

    def put(self, item: Any) -> None:
        if item is None:
            self._ended.set()
        else:
            self._unit(item[1].data, item[1].timestamp)

    def get(self) -> None:
        self._ended.wait()


class _AsSent:
    """In place of aiortc's clock, which counts from 0: reports name stamps as they are sent."""

    def map(self, timestamp: int) -> int:
        return timestamp


def set_private(receiver: RTCRtpReceiver, name: str, value: object) -> None:
    attribute = f"_RTCRtpReceiver__{name}"
    if not hasattr(receiver, attribute):
        raise RuntimeError(f"aiortc's receiver has no {name} any more")
    setattr(receiver, attribute, value)
