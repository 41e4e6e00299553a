"""What a camera's encoder does to frames: real H.264 or H.265 at a set rate, decoded again.

Training and evaluation see through it what a live source will show; no stream runs here.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import Literal

import av
import numpy as np
import torch

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.media.pixels import from_av, to_av
from streamsr.train.frames import levels

__all__ = ["CameraCoding", "coded"]

RATE = 25  # frames a second that a rate in kbit/s is meant for


@dataclass(frozen=True, slots=True)
class CameraCoding:
    """How a camera's sub-stream is coded. B-frames are off, as in every camera made for viewing."""

    codec: Literal["h264", "h265"] = "h264"
    kbit_s: float = 192.0  # of the frames as they are
    gop: int = 50  # frames from one keyframe to the next
    preset: str = "veryfast"  # how well the encoder searches: cheap cameras hardly do
    buffer_s: float = 1.0  # how evenly the rate is kept: what the decoder's buffer holds
    full_range: bool = False


def coded(frames: Iterable[Frame], coding: CameraCoding) -> Iterator[Frame]:
    """Encodes and decodes 4:2:0 frames of one size, even sides; yields as many, in order.

    Each has the pts and the colour description of the frame that went in, save the range, which
    is the coding's. Raises InputError where the encoder refuses.
    """
    arriving = iter(frames)
    first = next(arriving, None)
    if first is None:
        return
    waiting = []  # what the decoder has not given back yet
    try:
        encoder, decoder = _encoder(first, coding), _decoder(coding)
        for number, taken in enumerate(chain([first], arriving)):
            frame = _ranged(taken, coding.full_range)
            waiting.append(frame)
            image = to_av(frame)
            image.pts, image.time_base = number, Fraction(1, RATE)
            for packet in encoder.encode(image):
                yield from _decoded(decoder.decode(packet), waiting)
        for packet in encoder.encode(None):
            yield from _decoded(decoder.decode(packet), waiting)
        yield from _decoded(decoder.decode(None), waiting)
    except av.FFmpegError as error:
        raise InputError(
            f"coding of {first.width}x{first.height} as {coding.codec}: {error.strerror}"
        ) from None


def _decoded(images: list[av.VideoFrame], waiting: list[Frame]) -> Iterator[Frame]:
    for image in images:
        sent = waiting.pop(0)
        frame = from_av(image, pts=sent.pts, time_base=sent.time_base)
        planes = tuple(np.array(plane) for plane in frame.planes)  # the decoder reuses its memory
        yield replace(frame, planes=planes, colour=sent.colour)


def _encoder(first: Frame, coding: CameraCoding) -> av.VideoCodecContext:
    context = av.CodecContext.create("libx264" if coding.codec == "h264" else "libx265", "w")
    context.width, context.height = first.width, first.height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, RATE)
    context.framerate = Fraction(RATE)
    context.thread_count = 1
    context.bit_rate = round(coding.kbit_s * 1000)
    context.gop_size = coding.gop
    context.max_b_frames = 0
    context.color_range = 2 if coding.full_range else 1
    context.options = _options(coding)
    context.open()
    return context


def _options(coding: CameraCoding) -> dict[str, str]:
    """Constant rate, no lookahead, keyframes by the clock alone."""
    rate, buffer = round(coding.kbit_s), max(1, round(coding.kbit_s * coding.buffer_s))
    common = f"scenecut=0:keyint={coding.gop}:min-keyint={coding.gop}:rc-lookahead=0:bframes=0"
    vbv = f"vbv-maxrate={rate}:vbv-bufsize={buffer}"
    if coding.codec == "h264":
        return {
            "preset": coding.preset,
            "x264-params": f"{common}:{vbv}:sync-lookahead=0:mbtree=0:threads=1",
        }
    threads = "pools=none:frame-threads=1:wpp=0"
    return {
        "preset": coding.preset,
        "x265-params": f"{common}:{vbv}:cutree=0:{threads}:log-level=none",
    }


def _decoder(coding: CameraCoding) -> av.VideoCodecContext:
    context = av.CodecContext.create("h264" if coding.codec == "h264" else "hevc", "r")
    context.thread_count = 1  # frame threads would hold frames back
    return context


def _ranged(frame: Frame, full: bool) -> Frame:
    """The frame in that range, its sides as they were."""
    if frame.colour.full_range == full:
        return frame
    luma, *chroma = (torch.from_numpy(np.array(plane)).double() for plane in frame.planes)
    gains = (255 / 219, 255 / 224) if full else (219 / 255, 224 / 255)
    luma = (luma - 16) * gains[0] if full else luma * gains[0] + 16
    planes = (levels(luma), *(levels((plane - 128) * gains[1] + 128) for plane in chroma))
    return replace(frame, planes=planes, colour=replace(frame.colour, full_range=full))
