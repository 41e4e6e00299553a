"""Video encoding: one encoder per rendition, colour tags and pixel aspect kept."""

from __future__ import annotations  # av.Packet is generic in its stubs alone

import logging
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import av
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Interpolation

from streamsr.core.errors import OutputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder_options import FORMATS, KINDS, Buffer, filled, is_deep, open_encoder
from streamsr.media.hardware.choice import EncoderChoice, hardware_choice
from streamsr.media.hardware.driver_thread import DriverThread, HangError
from streamsr.media.hardware.encoders import HardwareEncoder
from streamsr.media.hardware.request import CodedStream
from streamsr.media.pixels import planes_of, scaler_matrix, to_av
from streamsr.media.tone_curve import HDR_TRANSFERS

__all__ = ["VideoEncoder"]

AGAIN_S = 1.0  # after a failure, until another encoder is begun
OPENS_S = 15.0  # at most, of hardware
HANGS_S = 5.0  # of a frame in hardware: more is a driver that hangs

T = TypeVar("T")

logger = logging.getLogger("streamsr")


class VideoEncoder:
    """Encodes H.264 or HEVC of the first frame's size, without B-frames where nothing else is said:
    a packet leaves with its frame. With ``low_delay`` false they come later, in the order of
    decoding, the last ones from ``flush``.

    A frame of another size is fitted into that size, black around it; one of another matrix or
    range is converted to the first frame's. 4:2:0 holds even sizes only: of an odd one the last
    row or column is left out.

    ``choice`` says which encoder codes them, the CPU's or a hardware one. Where a hardware one
    fails, the CPU's begins with that very frame. Where that fails, the frame is left out, and
    another encoder is begun with a later one. One that holds frames cannot be left: it raises
    OutputError.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        first: Frame,
        rate: Fraction,
        aspect: Fraction,
        buffer: Buffer = Buffer(),  # noqa: B008 - it is frozen
        choice: EncoderChoice | None = None,  # left out: the process's
    ) -> None:
        whole, first = first, _even(first)
        if first is not whole:
            logger.info(
                "%dx%d is encoded as %dx%d: %s in 4:2:0 has even sides",
                *(whole.width, whole.height, first.width, first.height, KINDS[settings.codec]),
            )
        settings = filled(settings)
        self.codec = settings.codec
        self.width = first.width
        self.height = first.height
        self._gop = round((settings.gop_s or 1) / first.time_base)  # in units of pts
        self._next_keyframe = 0  # pts: at the latest
        self.tags = _yuv_tags(first) if first.is_rgb else first.colour
        self._open = partial(open_encoder, settings, first, self.tags, rate, aspect, buffer)
        self._choice = choice or hardware_choice()
        stream = CodedStream.of(
            (first.width, first.height),
            self.tags,
            depth=first.depth,
            time_base=first.time_base,
            rate=rate,
            aspect=aspect,
            hdr=first.hdr is not None,
            buffer_s=(buffer.size_s, buffer.full_s),
        )
        self._hardware = self._choice.encoder_for(settings, stream)
        self._driver = DriverThread(self._hardware.name) if self._hardware else None
        self._fallen_back = ""  # why hardware has been left, until that is told
        try:
            self.context = self._opened()
        except OutputError as error:
            if self._hardware is None or settings.hardware != "auto":
                raise
            self._fall_back(self._hardware, str(error))
        self.trouble = ""  # why the newest frame was left out
        self._told = ""  # likewise, by ``news``
        self._again_s = 0.0  # monotonic: when the next encoder is begun, where one is to be
        self._holds = not settings.low_delay
        self._deep = is_deep(settings, first)
        self._format = FORMATS[self._deep]
        self._keyframe = False
        self._last: int | None = None

    def request_keyframe(self) -> None:
        """Makes the next frame an IDR frame. May be called from any thread."""
        self._keyframe = True

    def encode(self, frame: Frame) -> list[av.Packet[Any]]:
        """Encodes a frame; its pts must be above the last one's. Raises OutputError."""
        if self.trouble and monotonic() < self._again_s:
            return []
        try:
            if self.trouble:
                self.context, self.trouble = self._open(), ""
            image = self._image_of(_even(frame))
            try:
                return self._coded(image)
            except (av.FFmpegError, OutputError) as error:
                if self._hardware is None or self._holds:
                    raise
                self._fall_back(self._hardware, str(getattr(error, "strerror", "") or error))
                return self._coded(image)
        except av.FFmpegError as error:
            return self._failed(f"encoder: {error.strerror}")
        except OutputError as error:
            return self._failed(str(error))

    def fallen_back(self) -> str:
        """Returns once, for people, why the CPU encodes what hardware did; else ""."""
        told, self._fallen_back = self._fallen_back, ""
        return told

    def _opened(self) -> av.VideoCodecContext:
        """Raises OutputError where the encoder cannot be made, or its driver hangs."""
        return self._made(partial(self._open, hardware=self._hardware), OPENS_S)

    def _coded(self, image: av.VideoFrame | None) -> list[av.Packet[Any]]:
        """Raises av.FFmpegError, and OutputError where a driver hangs."""
        return self._made(partial(self.context.encode, image), HANGS_S)

    def _made(self, call: Callable[[], T], limit_s: float) -> T:
        """Makes a call into FFmpeg, with a limit where that is a driver's."""
        if self._driver is None:
            return call()
        try:
            return self._driver.run(call, limit_s)
        except HangError as error:
            raise OutputError(f"encoder: {error}") from None

    def _fall_back(self, hardware: HardwareEncoder, reason: str) -> None:
        """Begins the CPU's encoder. Raises OutputError where it cannot."""
        self._choice.failed(hardware, reason)
        self._hardware = self._driver = None
        self._fallen_back = f"{hardware.name} failed: {reason}; the CPU encodes on"
        self.context = self._open()

    def flush(self) -> list[av.Packet[Any]]:
        """Returns what the encoder still holds. Raises OutputError."""
        try:
            return [] if self.trouble else self._coded(None)
        except av.FFmpegError as error:
            return self._failed(f"encoder: {error.strerror}")
        except OutputError as error:
            return self._failed(str(error))

    def news(self) -> str:
        """Returns what has become of it, failed or begun again, for people; "" where that is told.

        To be called in the thread that encodes.
        """
        told, self._told = self._told, self.trouble
        if bool(told) == bool(self.trouble):
            return ""
        return f"{self.trouble}; it is begun again" if self.trouble else "it goes on"

    def _failed(self, reason: str) -> list[av.Packet[Any]]:
        if self._holds:
            raise OutputError(reason)
        self.trouble, self._again_s = reason, monotonic() + AGAIN_S
        return []

    def _image_of(self, frame: Frame) -> av.VideoFrame:
        """Makes what is encoded of a frame, a keyframe where one is due."""
        image = to_av(frame if self._deep else frame.in_8_bits())
        if (frame.width, frame.height) != (self.width, self.height):
            image = self._fitted(image)
        elif image.format.name != self._format or _coding(frame.colour) != _coding(self.tags):
            image = self._yuv420(image, frame.width, frame.height)
        image.time_base = self.context.time_base
        image.pts = round(frame.pts * frame.time_base / self.context.time_base)
        if self._last is not None:
            image.pts = max(image.pts, self._last + 1)
        self._last = image.pts
        lasts = frame.duration * frame.time_base or 1 / self.context.framerate
        image.duration = round(lasts / self.context.time_base)
        asked, self._keyframe = self._keyframe, False
        due = asked or image.pts >= self._next_keyframe  # encoders count frames alone
        image.pict_type = PictureType.I if due else PictureType.NONE
        if due:
            self._next_keyframe = image.pts + self._gop
        return image

    def packets(
        self,
        track: Track,
        encoded: Iterable[av.Packet[Any]],
        frame: Frame | None,
        upscaled: float = 0.0,
    ) -> list[Packet]:
        """Returns what ``encode`` of a frame, or ``flush``, gave as packets of a track.

        ``upscaled``: monotonic seconds, when the frame came out of the engine.
        """
        arrived, captured = (frame.arrived, frame.captured) if frame is not None else (0.0, 0.0)
        packets = []
        for coded in encoded:
            assert coded.pts is not None
            packet = Packet(
                *(track, bytes(coded), coded.pts, coded.time_base, coded.is_keyframe),
                arrived=arrived,
                dts=coded.dts,
                codec=self.codec,
                duration=coded.duration or 0,
                captured=captured,
                upscaled=upscaled,
                encoded=monotonic(),
            )
            packets.append(packet)
        return packets

    def _fitted(self, image: av.VideoFrame) -> av.VideoFrame:
        scale = min(self.width / image.width, self.height / image.height)
        width, height = (max(2, int(side * scale) // 2 * 2) for side in (image.width, image.height))
        inner = self._yuv420(image, width, height)
        canvas = av.VideoFrame(self.width, self.height, self._format)
        finer = 4 if self._deep else 1
        black = (0 if self.tags.full_range else 16 * finer, 128 * finer, 128 * finer)
        for source, target, level in zip(planes_of(inner), planes_of(canvas), black, strict=True):
            target[...] = level
            (rows, columns), (height, width) = target.shape, source.shape
            top, left = (rows - height) // 2, (columns - width) // 2
            target[top : top + height, left : left + width] = source
        return canvas

    def _yuv420(self, image: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """Returns 4:2:0 of the image in the matrix and range that the context is tagged with."""
        rgb = image.format.is_rgb
        return image.reformat(
            width=width,
            height=height,
            format=self._format,
            src_colorspace=ColourTags.BT709 if rgb else scaler_matrix(image.colorspace),
            dst_colorspace=scaler_matrix(self.tags.matrix),
            src_color_range=ColorRange.JPEG if rgb else image.color_range,
            dst_color_range=ColorRange.JPEG if self.tags.full_range else ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
        )


def _even(frame: Frame) -> Frame:
    """Returns the frame without what makes its sides odd. Raises OutputError where none is left."""
    if frame.width % 2 == 0 and frame.height % 2 == 0:
        return frame
    try:
        return frame.cropped(2)
    except ValueError as error:
        raise OutputError(f"encoder: {error}") from None


def _yuv_tags(rgb: Frame) -> ColourTags:
    """How R'G'B' is coded: in BT.709, HDR in BT.2020."""
    if rgb.colour.transfer in HDR_TRANSFERS:
        return ColourTags(ColourTags.BT2020, ColourTags.BT2020, rgb.colour.transfer)
    return ColourTags(1, 1, 1)


def _coding(tags: ColourTags) -> tuple[int, bool]:
    """What decides which levels stand for a colour."""
    return scaler_matrix(tags.matrix), tags.full_range
