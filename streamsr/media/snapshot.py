"""A still image of what a stream shows: one frame as JPEG."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import asyncio
from fractions import Fraction

import av
import cv2

from streamsr.core.errors import StreamsrError
from streamsr.core.frame import Frame
from streamsr.core.packet import Packet, Track
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream
from streamsr.media.pixels import from_av
from streamsr.media.rgb import rgb_of

__all__ = ["jpeg_of", "snapshot"]

QUALITY = 90
MOST_STRETCHED = 8  # a wrong shape of pixels must not make a huge image


def jpeg_of(frame: Frame, aspect: Fraction = Fraction(1), quality: int = QUALITY) -> bytes:
    """Returns a frame as JFIF (BT.601 in full range), its pixels made square.

    ``aspect`` is width / height of the frame's pixels: one side grows by it, none shrinks.
    ``quality`` is 1 to 100.
    """
    bgr = cv2.cvtColor(rgb_of(frame), cv2.COLOR_RGB2BGR)
    wider, taller = (min(max(float(shape), 1.0), MOST_STRETCHED) for shape in (aspect, 1 / aspect))
    if aspect != 1:
        size = (round(frame.width * wider), round(frame.height * taller))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_CUBIC)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


async def snapshot(broadcaster: Broadcaster, timeout_s: float = 3.0) -> bytes:
    """Returns the next frame of a stream as JPEG; a keyframe is asked for.

    Raises TimeoutError where none comes, StreamsrError where it is no frame or none will come.
    """
    subscription = broadcaster.subscribe({Track.OUTPUT})
    try:
        async with asyncio.timeout(timeout_s):
            keyframe = await subscription.receive()
    except EndOfStream:
        raise StreamsrError("there is no picture: the stream has ended") from None
    finally:
        broadcaster.unsubscribe(subscription)
    return await asyncio.to_thread(_jpeg_of_keyframe, keyframe)


def _jpeg_of_keyframe(keyframe: Packet) -> bytes:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    try:
        decoded = [*decoder.decode(av.Packet(keyframe.data)), *decoder.decode(None)]
    except av.FFmpegError as error:
        raise StreamsrError(f"the keyframe cannot be made a picture: {error.strerror}") from None
    if not decoded:
        raise StreamsrError("the keyframe cannot be made a picture: it holds none")
    return jpeg_of(from_av(decoded[0], pts=0, time_base=Fraction(1, 25)))
