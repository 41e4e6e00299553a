"""What a camera's encoder does to frames: real H.264 or H.265 at a set rate, decoded again.

Training and evaluation see through it what a live source will show, and a stream's self-check
what the frames that it has shrunk would be if the camera had sent them; no stream runs here.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import log2
from statistics import fmean
from typing import Literal

import av
import numpy as np

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame, Plane
from streamsr.media.pixels import planes_of, to_av

__all__ = ["CameraCoding", "QuantiserSearch", "coded"]

RATE = 25  # frames a second that a rate in kbit/s is meant for
SUB_STREAM = 320 * 180  # pixels that it is meant for
LEAST_KBIT_S = 8.0  # below, encoders refuse
QUANTISERS = range(10, 52)  # that are searched
MOST_TRIES = 5  # of a search
PARAMETERS = {
    "h264": ("x264-params", "sync-lookahead=0:mbtree=0:threads=1"),
    "h265": ("x265-params", "cutree=0:pools=none:frame-threads=1:wpp=0:log-level=none"),
}
"""What the encoder of a codec is told in its own words: its option, and what differs."""


@dataclass(frozen=True, slots=True)
class CameraCoding:
    """How a camera's sub-stream is coded. B-frames are off, as in every camera made for viewing."""

    codec: Literal["h264", "h265"] = "h264"
    kbit_s: float = 192.0  # of 320x180; other sizes get their share of the pixels
    gop: int = 50  # frames from one keyframe to the next
    preset: str = "veryfast"  # how well the encoder searches: cheap cameras hardly do
    buffer_s: float = 1.0  # how evenly the rate is kept: what the decoder's buffer holds
    full_range: bool = False
    qp: int | None = None  # a constant quantiser, of P-frames, in place of the rate


def coded(frames: Iterable[Frame], coding: CameraCoding) -> Iterator[Frame]:
    """Encodes and decodes 4:2:0 frames of one size, even sides; yields as many, in order.

    Each has the pts and the colour description of the frame that went in, save the range, which
    is the coding's, and says how it was coded. Raises InputError where the encoder refuses.
    """
    arriving = iter(frames)
    first = next(arriving, None)
    if first is None:
        return
    waiting: deque[Frame] = deque()  # what the decoder has not given back yet
    sizes: deque[int] = deque()  # of their packets, bytes

    def images() -> Iterator[av.VideoFrame | None]:
        for number, frame in enumerate(chain([first], arriving)):
            waiting.append(_ranged(frame, coding.full_range))
            image = to_av(waiting[-1])
            image.pts, image.time_base = number, Fraction(1, RATE)
            yield image
        yield None  # the end

    try:
        encoder = _encoder(first, coding)
        decoder = av.CodecContext.create("h264" if coding.codec == "h264" else "hevc", "r")
        decoder.thread_count = 1  # frame threads would hold frames back
        packets = (packet for image in images() for packet in encoder.encode(image))
        for packet in chain(packets, [None]):
            if packet is not None:
                sizes.append(packet.size)
            for image in decoder.decode(packet):
                # the decoder uses its memory again
                planes = tuple(np.array(plane) for plane in planes_of(image))
                yield replace(
                    waiting.popleft(),
                    planes=planes,
                    packet_bytes=sizes.popleft(),
                    keyframe=image.key_frame,
                )
    except av.FFmpegError as error:
        raise InputError(
            f"coding of {first.width}x{first.height} as {coding.codec}: {error.strerror}"
        ) from None


class QuantiserSearch:
    """At which quantiser of H.264 a stream is coded, found by coding its frames again.

    What one search found is where the next one begins: the camera changes it slowly.
    """

    def __init__(self) -> None:
        self._newest = 30

    def of(self, frames: Sequence[Frame]) -> int:
        """Returns the quantiser at which consecutive 4:2:0 frames, even sides, take the bytes that
        they came in, keyframes left out; of keyframes alone, as they are.

        It may be below the camera's by some steps: what was coded once codes easily. Raises
        ValueError where nobody knows what they came in, and InputError where the encoder refuses.
        """
        between = [frame for frame in frames[1:] if not frame.keyframe]
        wanted = fmean(frame.packet_bytes for frame in between or frames)
        if not wanted:
            raise ValueError("frames: got some without packet_bytes, allowed are coded ones")
        errors: dict[int, float] = {}  # in steps, of the quantisers that were tried
        quantiser = self._newest
        while quantiser not in errors and len(errors) < MOST_TRIES:
            gop = len(frames) if between else 1
            again = list(coded(frames, CameraCoding(qp=quantiser, gop=gop)))
            took = fmean(frame.packet_bytes for frame in (again[1:] if between else again))
            errors[quantiser] = 6 * log2(took / wanted)  # six steps halve the bytes, about
            nearer = quantiser + round(errors[quantiser])
            quantiser = min(max(nearer, QUANTISERS.start), QUANTISERS.stop - 1)
        self._newest = min(errors, key=lambda tried: abs(errors[tried]))
        return self._newest


def _encoder(first: Frame, coding: CameraCoding) -> av.VideoCodecContext:
    context = av.CodecContext.create("libx264" if coding.codec == "h264" else "libx265", "w")
    context.width, context.height = first.width, first.height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, RATE)
    context.framerate = Fraction(RATE)
    context.thread_count = 1
    context.gop_size = coding.gop
    context.max_b_frames = 0
    context.color_range = 2 if coding.full_range else 1
    # no lookahead, keyframes by the clock alone
    common = f"scenecut=0:keyint={coding.gop}:min-keyint={coding.gop}:rc-lookahead=0:bframes=0"
    name, more = PARAMETERS[coding.codec]
    rate = _rate_control(context, first, coding)
    context.options = {"preset": coding.preset, name: f"{common}:{rate}:{more}"}
    context.open()
    return context


def _rate_control(context: av.VideoCodecContext, first: Frame, coding: CameraCoding) -> str:
    """What bounds the bits, in the encoders' own words."""
    if coding.qp is not None:
        return f"qp={coding.qp}"
    share = first.width * first.height / SUB_STREAM
    kbit_s = max(coding.kbit_s * share, LEAST_KBIT_S)
    context.bit_rate = round(kbit_s * 1000)
    rate, buffer = round(kbit_s), max(1, round(kbit_s * coding.buffer_s))
    return f"vbv-maxrate={rate}:vbv-bufsize={buffer}"


def _ranged(frame: Frame, full: bool) -> Frame:
    """The frame in full or in limited range."""
    if frame.colour.full_range == full:
        return frame
    wanted = replace(frame.colour, full_range=full)
    (black, *spans), (wanted_black, *wanted_spans) = frame.colour.spans, wanted.spans
    luma, chroma = (span / of for span, of in zip(wanted_spans, spans, strict=True))
    tables = [_table(black, luma, wanted_black), *[_table(128, chroma, 128)] * 2]
    planes = tuple(table[plane] for table, plane in zip(tables, frame.planes, strict=True))
    return replace(frame, planes=planes, colour=wanted)


def _table(zero: float, factor: float, wanted_zero: float) -> Plane:
    """What each of the 256 levels becomes."""
    levels = (np.arange(256) - zero) * factor + wanted_zero
    table: Plane = np.rint(levels).clip(0, 255).astype(np.uint8)
    return table
