"""The trial of a hardware encoder: ``python -m streamsr.media.hardware.trial REQUEST``.

It encodes frames as a stream would, by the same code, and looks at what a decoder makes of them.
It prints one line of JSON: {"psnr": dB} where all is right, else {"failed": "why"}. FFmpeg's own
words go to stderr. Its process ends by itself, whatever a driver does, short of holding it.
"""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import math
import signal
import sys
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
from msgspec import json

from streamsr.core.errors import OutputError
from streamsr.core.frame import Frame
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder import VideoEncoder
from streamsr.media.encoder_options import Buffer
from streamsr.media.hardware.choice import TrialError
from streamsr.media.hardware.encoders import HardwareEncoder
from streamsr.media.hardware.request import CodedStream, TrialRequest
from streamsr.media.pixels import bits_of, colour_of, planes_of

__all__ = ["main", "try_encoder"]

FRAMES = 12
ASKED = 7  # the frame that is asked to be a keyframe
WORSE_DB = 6.0  # at most, than the CPU's encoder with the same settings
ENDS_S = 60  # the process, if nobody else ends it

Packets = list["av.Packet[Any]"]


class _Only:
    """A choice that has been made."""

    def __init__(self, encoder: HardwareEncoder | None) -> None:
        self._encoder = encoder

    def encoder_for(self, settings: EncoderSettings, stream: CodedStream) -> HardwareEncoder | None:
        return self._encoder

    def failed(self, encoder: HardwareEncoder, reason: str) -> None:
        raise TrialError(reason)


def try_encoder(request: TrialRequest) -> float:
    """Returns the least PSNR of any plane of any frame, in dB. Raises TrialError."""
    settings, frames = request.filled_settings(), _frames(request.stream)
    try:
        encoder = _encoder(request, settings, request.encoder, frames[0])
        packets = _encoded(encoder, frames, live=bool(settings.low_delay))
    except OutputError as error:
        raise TrialError(str(error)) from None
    _check_order(packets, frames, bool(settings.low_delay))
    images = _decoded(packets, settings.codec)
    if len(images) != len(frames):
        raise TrialError(f"{len(frames)} frames became {len(images)}")
    _check_tags(images[0], encoder)
    reached = min(map(_psnr, images, frames))
    quick = settings.model_copy(update={"preset": "ultrafast"})
    host = _encoder(request, quick, None, frames[0])
    usual = _decoded(_encoded(host, frames, live=bool(settings.low_delay)), settings.codec)
    wanted = min(map(_psnr, usual, frames)) - WORSE_DB
    if reached < wanted:
        raise TrialError(f"its frames have {reached:.1f} dB, at least {wanted:.1f} dB are wanted")
    _check_keyframe(packets, frames, settings.codec, wanted)
    return reached


def _encoder(
    request: TrialRequest,
    settings: EncoderSettings,
    encoder: HardwareEncoder | None,
    first: Frame,
) -> VideoEncoder:
    stream = request.stream
    facts = Fraction(stream.rate), Fraction(stream.aspect), Buffer(*stream.buffer_s)
    return VideoEncoder(settings, first, *facts, choice=_Only(encoder))


def _frames(stream: CodedStream) -> list[Frame]:
    """A texture that pans by 2 pixels a frame, in 4:2:0."""
    random = np.random.default_rng(20)
    dtype, finer = (np.uint8, 1) if stream.depth == 8 else (np.uint16, 2 ** (stream.depth - 8))
    planes = []
    for height, width in (
        (stream.height, stream.width),
        *[(stream.height // 2, stream.width // 2)] * 2,
    ):
        coarse = random.random((-(-height // 16), -(-width // 16)))
        texture = np.kron(coarse, np.ones((16, 16)))[:height, :width]
        rows, columns = np.mgrid[:height, :width]
        waves = np.sin(rows / 23) + np.sin(columns / 31)
        planes.append(
            ((64 + 60 * texture + 30 * waves) * finer).clip(16, 235 * finer).astype(dtype)
        )
    time_base = Fraction(stream.time_base)
    apart = max(1, round(1 / Fraction(stream.rate) / time_base))
    return [
        Frame(
            tuple(np.roll(plane, 2 * n, axis=1) for plane in planes),
            stream.tags,
            n * apart,
            time_base,
            depth=stream.depth,
        )
        for n in range(FRAMES)
    ]


def _encoded(encoder: VideoEncoder, frames: Sequence[Frame], *, live: bool) -> Packets:
    packets: Packets = []
    for number, frame in enumerate(frames):
        if number == ASKED:
            encoder.request_keyframe()
        packets += encoder.encode(frame)
        if encoder.trouble:
            raise TrialError(encoder.trouble)
        if live and len(packets) != number + 1:
            raise TrialError(f"{number + 1} frames gave {len(packets)} packets: it holds frames")
    return packets + encoder.flush()


def _check_order(packets: Packets, frames: Sequence[Frame], live: bool) -> None:
    times = [packet.pts for packet in packets]
    wanted = [frame.pts for frame in frames]
    if sorted(time for time in times if time is not None) != wanted:
        raise TrialError(f"its packets' times are {times}, wanted {wanted}")
    if live and times != wanted:
        raise TrialError("its packets are not in the order of their frames")
    decoding = [packet.dts for packet in packets]
    if any(one is None or other is None or one >= other for one, other in pairwise(decoding)):
        raise TrialError(f"its packets' times of decoding do not rise: {decoding}")
    if not packets[0].is_keyframe:
        raise TrialError("its first packet is no keyframe")


def _check_keyframe(packets: Packets, frames: Sequence[Frame], codec: str, wanted: float) -> None:
    """A frame that is asked to be one is a keyframe, and decoding can begin there."""
    asked = frames[ASKED]
    at = next(n for n, packet in enumerate(packets) if packet.pts == asked.pts)
    if not packets[at].is_keyframe:
        raise TrialError("it made no keyframe where one was asked for")
    images = [image for image in _decoded(packets[at:], codec) if image.pts == asked.pts]
    if not images or _psnr(images[0], asked) < wanted:
        raise TrialError("decoding cannot begin at its keyframes")


def _check_tags(image: av.VideoFrame, encoder: VideoEncoder) -> None:
    size = (image.width, image.height)
    if size != (encoder.width, encoder.height):
        raise TrialError(f"its frames are {size[0]}x{size[1]}")
    got, wanted = colour_of(image), encoder.tags
    for name in ("matrix", "primaries", "transfer", "full_range"):
        if getattr(got, name) != getattr(wanted, name):
            raise TrialError(
                f"its frames' {name} is {getattr(got, name)}, wanted {getattr(wanted, name)}"
            )


def _decoded(packets: Packets, codec: str) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    try:
        images = [image for packet in packets for image in decoder.decode(packet)]
        return images + decoder.decode(None)
    except av.FFmpegError as error:
        raise TrialError(f"its packets cannot be decoded: {error.strerror}") from None


def _psnr(image: av.VideoFrame, frame: Frame) -> float:
    """The least of the planes' PSNR, in dB, both in units of 8 bits."""
    unit, wanted_unit = 2.0 ** (bits_of(image) - 8), 2.0 ** (frame.depth - 8)
    squares = [
        float(np.mean((got / unit - wanted / wanted_unit) ** 2))
        for got, wanted in zip(planes_of(image), frame.planes, strict=True)
    ]
    return 10 * math.log10(255**2 / max(1e-3, *squares))


def main(argument: str) -> None:
    signal.alarm(ENDS_S)
    try:
        answer: dict[str, float | str] = {"psnr": try_encoder(TrialRequest.decoded(argument))}
    except TrialError as error:
        answer = {"failed": str(error)}
    sys.stdout.write(json.encode(answer).decode())


if __name__ == "__main__":
    main(sys.argv[1])
