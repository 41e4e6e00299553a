"""Frames as images: folders of PNG, read by number and written whole or not at all; JPEG."""

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from streamsr.core.errors import InputError, OutputError
from streamsr.core.frame import Frame, Plane
from streamsr.media.addresses import check_folder, is_png
from streamsr.media.pixels import SRGB, rgb_of

__all__ = ["ImageWriter", "image_frames", "image_names", "jpeg_of", "read_image"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 1 << 28  # 16,384 x 16,384
READ = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
WRITE = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
"""For speed over size."""
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]
MOST_STRETCHED = 8  # a wrong shape of pixels must not make a huge image


def image_names(folder: Path) -> list[str]:
    """Returns the PNG files of a folder, frame2 before frame10; hidden ones are left out.

    Raises InputError where there is none, or no folder.
    """
    try:
        found = [p.name for p in folder.iterdir() if is_png(p)]
    except OSError as error:
        raise InputError(f"input {folder}: cannot be read as a folder: {error.strerror}") from None
    if not found:
        raise InputError(f"input {folder}: there is no PNG file in this folder")
    return sorted(found, key=_natural)


def image_frames(folder: Path, rate: Fraction = Fraction(25)) -> Iterator[Frame]:
    """Yields every image of a folder, its pts the number in order, ``rate`` a second.

    Raises InputError where the folder has none, and where a file is damaged or of another size
    than the first.
    """
    names = image_names(folder)
    first: Frame | None = None
    for number, name in enumerate(names):
        frame = replace(read_image(folder / name), pts=number, time_base=1 / rate)
        first = first or frame
        if (frame.width, frame.height) != (first.width, first.height):
            raise InputError(
                f"input {folder / name}: got {frame.width}x{frame.height} pixels, allowed is "
                f"{first.width}x{first.height} as in {names[0]}, the first of this folder"
            )
        yield frame


def read_image(path: Path) -> Frame:
    """Returns a PNG of any kind as 8-bit R'G'B'.

    Grey becomes three equal channels, 16 bits are rounded to 8, and transparency is left out:
    transparent pixels keep the colours that the file states. Raises InputError where the file is
    not one whole PNG.
    """
    try:
        pixels = _decoded(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {path}: cannot be read as PNG: {reason}") from None
    return Frame((pixels,), SRGB, 0, Fraction(1))


class ImageWriter:
    """Writes frames as R'G'B' PNG files, each appearing in the folder only once it is whole.

    The folder is made where it is missing. Raises OutputError where it cannot be written or,
    unless ``overwrite``, holds PNG files; with it, they go when the first frame is written.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder
        self._old = check_folder(folder, overwrite=overwrite)

    def write(self, frame: Frame, name: str) -> None:
        """Writes a frame as ``name``, which replaces a file of that name. Raises OutputError."""
        target = self.folder / name
        if target.parent != self.folder or target.suffix.lower() != ".png":
            raise OutputError(f"output {target}: got the name {name!r}, allowed is one of a PNG")
        partial = self.folder / f".{name}.partial"
        try:
            while self._old:
                self._old.pop().unlink(missing_ok=True)
            bgr = cv2.cvtColor(rgb_of(frame), cv2.COLOR_RGB2BGR)
            _, data = cv2.imencode(".png", bgr, WRITE)
            partial.write_bytes(data.tobytes())
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"output {target}: cannot be written: {error.strerror}") from None


def _decoded(data: bytes) -> Plane:
    """(h, w, 3) uint8 R'G'B' of a PNG file. Raises ValueError."""
    if not data.startswith(SIGNATURE):
        raise ValueError("it does not start as a PNG does")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if width * height > MAX_PIXELS:
        raise ValueError(f"got {width}x{height} pixels, allowed are {MAX_PIXELS} in all")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), READ)
    if pixels is None:
        raise ValueError("it is damaged or breaks off")
    if pixels.dtype == np.uint16:
        pixels = (pixels.astype(np.uint32) * 255 + 32895) >> 16
    return np.asarray(pixels, np.uint8)


def jpeg_of(frame: Frame, aspect: Fraction = Fraction(1)) -> bytes:
    """Returns a frame as JFIF (BT.601 in full range), its pixels made square.

    ``aspect`` is width / height of the frame's pixels: one side grows by it, none shrinks.
    """
    bgr = cv2.cvtColor(rgb_of(frame), cv2.COLOR_RGB2BGR)
    if aspect != 1:
        wider, taller = (min(max(1.0, float(by)), MOST_STRETCHED) for by in (aspect, 1 / aspect))
        size = (round(frame.width * wider), round(frame.height * taller))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_CUBIC)
    _, data = cv2.imencode(".jpg", bgr, JPEG)
    return data.tobytes()


def _natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """Returns a sort key in which numbers count as numbers and case counts last."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.casefold())
    return [(text, int(digits or -1)) for text, digits in parts], name
