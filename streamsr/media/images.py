"""Frames as images: folders of them, read by number and written whole or not at all; JPEG.

PNG, JPEG, WebP and TIFF, by OpenCV. A frame holds R'G'B' in 8 bits; what a file holds beyond that,
16 bits a sample and how opaque pixels are, is in its ``Image``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamsr.core.errors import InputError, OutputError
from streamsr.core.frame import Frame, Plane
from streamsr.media.addresses import IMAGE_SUFFIXES, check_folder, folder_images, image_kind
from streamsr.media.pixels import SRGB, rgb_of

__all__ = [
    "MAX_PIXELS",
    "Image",
    "ImageWriter",
    "eight_bits",
    "image_frames",
    "jpeg_of",
    "read_image",
    "read_samples",
]

STARTS: dict[str, tuple[bytes, ...]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8",),
    "WebP": (b"RIFF",),
    "TIFF": (b"II*\0", b"MM\0*"),
}
MAX_PIXELS = 1 << 28  # 16,384 x 16,384
# a JPEG upright, as its Exif says; OpenCV 5 gives B'G'R' of TIFF even where R'G'B' is asked for
READ = cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH
READ_PNG = READ | cv2.IMREAD_IGNORE_ORIENTATION
KEPT = 95  # quality, of 100
WRITE = {
    "PNG": [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP],
    "JPEG": [cv2.IMWRITE_JPEG_QUALITY, KEPT],
    "WebP": [cv2.IMWRITE_WEBP_QUALITY, KEPT],
    "TIFF": [],
}
"""PNG for speed over size."""
LOSSLESS_WEBP = [cv2.IMWRITE_WEBP_QUALITY, 101]
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]
MOST_STRETCHED = 8  # a wrong shape of pixels must not make a huge image


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One image: R'G'B' as (h, w, 3), and how opaque its pixels are, (h, w), of the same dtype."""

    colour: Plane
    alpha: Plane | None = None
    grey: bool = False  # it is stored as one channel
    lossless: bool = True  # where its kind can be either


def image_frames(
    folder: Path, rate: Fraction = Fraction(25), *, deep: bool = False, begin: int = 0
) -> Iterator[Frame]:
    """Yields every image of a folder from number ``begin`` on, its pts the number in order,
    ``rate`` a second.

    ``deep``: those of 16 bits keep them.

    Raises InputError where the folder has none, or several kinds of them, and where a file is
    damaged or of another size than the first.
    """
    names = folder_images(folder)
    first: Frame | None = None
    for number, name in enumerate(names[begin:], begin):
        frame = replace(read_image(folder / name, deep=deep), pts=number, time_base=1 / rate)
        first = first or frame
        if (frame.width, frame.height) != (first.width, first.height):
            raise InputError(
                f"input {folder / name}: got {frame.width}x{frame.height} pixels, allowed is "
                f"{first.width}x{first.height} as in {names[0]}, the first of this folder"
            )
        yield frame


def read_image(path: Path, *, deep: bool = False) -> Frame:
    """Returns an image of any kind as R'G'B', in 8 bits where it is not to be ``deep``.

    Grey becomes three equal channels, 16 bits are rounded to 8 then, and transparency is left out:
    transparent pixels keep the colours that the file states. Raises InputError where the file is
    not one whole image.
    """
    colour = read_samples(path).colour
    if deep and colour.dtype == np.uint16:
        return Frame((colour,), SRGB, 0, Fraction(1), depth=16)
    return Frame((eight_bits(colour),), SRGB, 0, Fraction(1))


def read_samples(path: Path, *, alpha: bool = False) -> Image:
    """Returns an image of any kind in the depth that it has, its transparency where that is asked
    for and there. Raises InputError as ``read_image`` does."""
    kind = image_kind(path) or "PNG"
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        if not data.tobytes()[:8].startswith(STARTS[kind]):
            raise ValueError(f"it does not start as a {kind} does")
        bgr = _decoded(data, READ_PNG if kind == "PNG" else READ)
        channels = _decoded(data, cv2.IMREAD_UNCHANGED) if alpha else bgr
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {path}: cannot be read as {kind}: {reason}") from None
    has_alpha = channels.ndim == 3 and channels.shape[2] == 4
    colour: Plane = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    return Image(colour, channels[..., 3] if has_alpha else None)


def eight_bits(samples: Plane) -> Plane:
    """Returns samples of any shape rounded to 8 bits."""
    if samples.dtype == np.uint8:
        return np.asarray(samples, np.uint8)
    return ((samples.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


class ImageWriter:
    """Writes images of a kind, each appearing in the folder only once it is whole.

    The folder is made where it is missing. Raises OutputError where it cannot be written or,
    unless ``overwrite``, holds files of that kind; with it, they go when the first is written.
    """

    def __init__(
        self,
        folder: Path,
        kind: str = "PNG",
        *,
        overwrite: bool = False,
        goes_on: bool = False,
    ) -> None:
        """``goes_on``: others of that kind are there already, and stay."""
        self.folder = folder
        self.kind = kind
        old = check_folder(folder, kind, overwrite=overwrite or goes_on)
        self._old = [] if goes_on else old

    def write(self, image: Frame | Image, name: str) -> None:
        """Writes a frame as R'G'B', or an image, as ``name``, which replaces a file of that name.

        Raises OutputError.
        """
        target = self.folder / name
        if target.parent != self.folder or IMAGE_SUFFIXES.get(target.suffix.lower()) != self.kind:
            raise OutputError(
                f"output {target}: got the name {name!r}, allowed is one of a {self.kind}"
            )
        partial = self.folder / f".{name}.partial"
        try:
            while self._old:
                self._old.pop().unlink(missing_ok=True)
            whole = Image(rgb_of(image)) if isinstance(image, Frame) else image
            partial.write_bytes(self._encoded(whole))
            partial.replace(target)
        except (OSError, ValueError) as error:
            partial.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"output {target}: cannot be written: {reason}") from None

    def _encoded(self, image: Image) -> bytes:
        """The bytes of a file. Raises ValueError."""
        samples = cv2.cvtColor(image.colour, cv2.COLOR_RGB2BGR)
        if image.alpha is not None:
            samples = cv2.merge([*cv2.split(samples), image.alpha])
        elif image.grey:
            samples = cv2.extractChannel(samples, 1)
        lossless = self.kind == "WebP" and image.lossless
        try:
            suffix = next(s for s, kind in IMAGE_SUFFIXES.items() if kind == self.kind)
            done, data = cv2.imencode(
                suffix, samples, LOSSLESS_WEBP if lossless else WRITE[self.kind]
            )
        except cv2.error:
            done = False
        if not done:
            height, width = samples.shape[:2]
            raise ValueError(f"{self.kind} does not hold {width}x{height} pixels")
        return data.tobytes()


def _decoded(data: NDArray[np.uint8], flags: int) -> Plane:
    """(h, w, 3) B'G'R', or what ``flags`` say, of an image file. Raises ValueError."""
    cv2.utils.logging.setLogLevel(
        0
    )  # LOG_LEVEL_SILENT: it would write to stderr beside what is said of the file
    try:
        samples = cv2.imdecode(data, flags)
    except cv2.error:  # more pixels than OpenCV takes
        samples = None
    if samples is None:
        raise ValueError("it is damaged, breaks off or is too large")
    height, width = samples.shape[:2]
    if width * height > MAX_PIXELS:
        raise ValueError(f"got {width}x{height} pixels, allowed are {MAX_PIXELS} in all")
    if samples.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"got samples of {samples.dtype}, allowed are 8 and 16 bits")
    return samples  # type: ignore[return-value] # one of the two


def jpeg_of(frame: Frame, aspect: Fraction = Fraction(1), width: int = 0) -> bytes:
    """Returns a frame as JFIF (BT.601 in full range), its pixels made square.

    ``aspect`` is width / height of the frame's pixels: one side grows by it, none shrinks. An
    image that is wider than ``width`` pixels, where that is not 0, is shrunk to it.
    """
    bgr = cv2.cvtColor(rgb_of(frame), cv2.COLOR_RGB2BGR)
    if aspect != 1:
        wider, taller = (min(max(1.0, float(by)), MOST_STRETCHED) for by in (aspect, 1 / aspect))
        size = (round(frame.width * wider), round(frame.height * taller))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_CUBIC)
    if 0 < width < bgr.shape[1]:
        height = max(1, round(bgr.shape[0] * width / bgr.shape[1]))
        bgr = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", bgr, JPEG)
    return data.tobytes()
