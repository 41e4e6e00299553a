"""A still picture of what a stream sends: one keyframe, decoded and encoded as JPEG."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import asyncio
from fractions import Fraction

import av
from av.video.reformatter import ColorRange, Interpolation

from streamsr.core.errors import StreamsrError
from streamsr.core.frame import ColourTags
from streamsr.core.packet import Packet, Track
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream
from streamsr.media.pixels import from_av

__all__ = ["jpeg_of", "snapshot"]

QUALITY = 4  # of 2 (best) to 31
TIMEOUT_S = 3.0
FRAME = Fraction(1, 25)  # the encoder insists on a time base
SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
MATRICES = (1, 4, 5, 6, 7, 9)  # that the scaler knows; BT.601 stands for the others


async def snapshot(
    broadcaster: Broadcaster, timeout_s: float = TIMEOUT_S, quality: int = QUALITY
) -> bytes:
    """The next picture of a stream as JPEG; a keyframe is asked for.

    Raises TimeoutError where none comes, StreamsrError where it is no picture or none will come.
    """
    subscription = broadcaster.subscribe({Track.OUTPUT})
    try:
        async with asyncio.timeout(timeout_s):
            keyframe = await subscription.receive()
    except EndOfStream:
        raise StreamsrError("there is no picture: the stream has ended") from None
    finally:
        broadcaster.unsubscribe(subscription)
    return await asyncio.to_thread(jpeg_of, keyframe, quality)


def jpeg_of(keyframe: Packet, quality: int = QUALITY) -> bytes:
    """Decode a keyframe of H.264 in Annex B, and encode it as JFIF: BT.601 in full range.

    ``quality`` is 2 (best) to 31. Raises StreamsrError where there is no picture in it.
    """
    try:
        return _encoded(_full_range(_decoded(keyframe.data)), quality)
    except av.FFmpegError as error:
        raise StreamsrError(f"the keyframe cannot be made a picture: {error.strerror}") from None


def _decoded(data: bytes) -> av.VideoFrame:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    pictures = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    if not pictures:
        raise StreamsrError("the keyframe cannot be made a picture: it holds none")
    return pictures[0]


def _full_range(picture: av.VideoFrame) -> av.VideoFrame:
    colour = from_av(picture, pts=0, time_base=FRAME).colour
    return picture.reformat(
        format="yuvj420p",
        src_colorspace=colour.matrix if colour.matrix in MATRICES else ColourTags.BT601_625,
        dst_colorspace=ColourTags.BT601_625,
        src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=SCALER,
    )


def _encoded(picture: av.VideoFrame, quality: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = "yuvj420p"
    encoder.color_range = ColorRange.JPEG
    encoder.time_base = FRAME
    encoder.qmin = encoder.qmax = quality
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
