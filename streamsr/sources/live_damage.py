"""Which frames of one connection are whole: found out before and after they are decoded."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import struct
from dataclasses import dataclass
from typing import Any

import av

from streamsr.bitstream.h264 import LossDetector
from streamsr.bitstream.h265 import WholeFrames

__all__ = ["Damage", "SentFrame"]

WALL_CLOCK = struct.Struct("=q")  # the first field of AVProducerReferenceTime: microseconds


@dataclass(frozen=True, slots=True)
class SentFrame:
    """What is known of a frame before it is decoded. It goes through the decoder as ``opaque``."""

    whole: bool
    size: int  # bytes
    captured: float  # Unix seconds by the camera's clock; 0: it has not said


class Damage:
    """Follows one connection's packets, in the order they are decoded, and what becomes of them."""

    def __init__(self, video: av.VideoStream) -> None:
        """Call it before anything is decoded."""
        video.codec_context.flags |= av.codec.context.Flags.copy_opaque
        self.since_delivered = False  # something was left out; set it to False on delivery
        self._losses = _losses_of(video)
        self._begun = False  # there has been a keyframe: before it nothing can be decoded
        self._corrupt = False  # a frame since the newest keyframe was
        self._pts: int | None = None
        self._reason = ""

    def take(self, packet: av.Packet[Any]) -> None:
        """Takes a packet that is decoded next."""
        self._begun |= packet.is_keyframe
        if packet.size:
            whole = self._losses.is_whole(packet)
            packet.opaque = SentFrame(whole, packet.size, _captured(packet))
            if self._losses.lost:
                self._note("packets were lost")

    def failed(self, reason: str) -> None:
        """The newest packet could not be decoded."""
        self._losses.failed()
        self._note(reason)

    def is_whole(self, image: av.VideoFrame) -> bool:
        """Whether an image is new, and decoded from undamaged data back to its keyframe.

        A twin is what repeated SPS and PPS make of a keyframe.
        """
        twin = image.pts is not None and image.pts == self._pts
        self._pts = image.pts
        if image.is_corrupt:
            self._note("a part of a frame was lost")
        self._corrupt = image.is_corrupt or (self._corrupt and not image.key_frame)
        sent = image.opaque
        whole = not self._corrupt and (not isinstance(sent, SentFrame) or sent.whole)
        self.since_delivered |= not whole
        return whole and not twin

    def news(self) -> str:
        """Returns why frames are damaged, once; "" where nothing new is."""
        reason, self._reason = self._reason, ""
        return reason

    def _note(self, reason: str) -> None:
        self.since_delivered = True
        if self._begun:
            self._reason = reason


def _captured(packet: av.Packet[Any]) -> float:
    """When a packet's frame was taken, in Unix seconds by the camera's clock, as FFmpeg reckons it
    from the camera's last sender report (RFC 3550, 6.4.1); 0: there has been none."""
    if not packet.has_sidedata("prft"):
        return 0.0
    microseconds: int
    (microseconds,) = WALL_CLOCK.unpack_from(bytes(packet.get_sidedata("prft")))
    return microseconds / 1e6


class _Losses:
    """Follows packets in the order they are decoded, which is not that of frames.

    A codec that nothing is known of is damaged from a corrupt packet to the next keyframe.
    """

    def __init__(self) -> None:
        self.lost = False  # the newest packet told of a loss
        self._damaged = False

    def is_whole(self, packet: av.Packet[av.VideoStream]) -> bool:
        """Whether the frame of the packet, the next one that is decoded, can be shown."""
        self.lost = packet.is_corrupt or self._lost_before(packet)
        self._damaged = self.lost or (self._damaged and not self._recovers(packet))
        return not self._damaged

    def failed(self) -> None:
        """The newest packet could not be decoded."""
        self._damaged = True

    def _lost_before(self, packet: av.Packet[av.VideoStream]) -> bool:
        return False

    def _recovers(self, packet: av.Packet[av.VideoStream]) -> bool:
        """Whether nothing from this packet on refers to what came before it."""
        return packet.is_keyframe


class _H264Losses(_Losses):
    def __init__(self, extradata: bytes | None) -> None:
        super().__init__()
        self._detector = LossDetector(extradata)

    def _lost_before(self, packet: av.Packet[av.VideoStream]) -> bool:
        return self._detector.lost_before(bytes(packet))


class _H265Losses(_Losses):
    """H.265 names the references of each frame: damage is followed along them."""

    def __init__(self, extradata: bytes | None) -> None:
        super().__init__()
        self._frames = WholeFrames(extradata)

    def is_whole(self, packet: av.Packet[av.VideoStream]) -> bool:
        whole = self._frames.is_whole(bytes(packet))
        self.lost = self._frames.lost or packet.is_corrupt
        if packet.is_corrupt:
            self._frames.failed()
        return whole and not packet.is_corrupt

    def failed(self) -> None:
        self._frames.failed()


def _losses_of(video: av.VideoStream) -> _Losses:
    """Returns what finds the losses of a stream's codec."""
    context = video.codec_context
    extradata = context.extradata
    if extradata and extradata[0] == 1:  # avcC or hvcC: no Annex B, and of a protocol without loss
        return _Losses()
    codec = context.codec.canonical_name
    if codec == "h264":
        return _H264Losses(extradata)
    if codec == "hevc":
        return _H265Losses(extradata)
    return _Losses()
