"""What the headers of image files say: size, depth, transparency, and whether the file is whole.

It reads PNG (ISO/IEC 15948), JPEG (ITU-T T.81, Exif), WebP (RFC 9649) and TIFF 6.0, and decodes
none of them: a folder of thousands is checked before the work on its first frame begins.
"""

import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from streamsr.core.errors import InputError
from streamsr.media.addresses import folder_images, image_kind
from streamsr.media.images import MAX_PIXELS

__all__ = ["ImageHeader", "checked_images", "image_header"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
FRAMES_OF_JPEG = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
TIFF_SIZES = {1: 1, 3: 2, 4: 4}  # bytes of a value: BYTE, SHORT, LONG
COLOURS_OF_TIFF = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}  # channels, by photometric interpretation
SIDEWAYS = frozenset({5, 6, 7, 8})  # orientations of Exif and TIFF that exchange the sides
MOST_IMAGES = 64  # in one TIFF: beyond it, its directories go in circles

Tags = Mapping[int, tuple[int, ...]]
"""The values of a TIFF directory's tags, whole numbers only."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """One image, its sides in pixels as it is shown."""

    width: int
    height: int
    bits: int = 8  # of a sample: 8 or 16
    alpha: bool = False
    grey: bool = False
    lossless: bool = False  # of WebP, which can be either

    @property
    def is_plain(self) -> bool:
        """Whether a frame of R'G'B' in 8 bits holds all of it."""
        return self == ImageHeader(self.width, self.height, lossless=False)


def checked_images(folder: Path) -> list[tuple[str, ImageHeader]]:
    """Returns the images of a folder in their order, and what their headers say.

    Raises InputError where there is none, where they are of several kinds or sizes, and where one
    is damaged, cut off, an animation, or of samples that are not read.
    """
    names = folder_images(folder)
    found = [(name, image_header(folder / name)) for name in names]
    first_name, first = found[0]
    for name, header in found:
        if (header.width, header.height) != (first.width, first.height):
            raise InputError(
                f"input {folder / name}: got {header.width}x{header.height} pixels, allowed is "
                f"{first.width}x{first.height} as in {first_name}, the first of this folder"
            )
    return found


def image_header(path: Path) -> ImageHeader:
    """Returns what an image's header says. Raises InputError, see ``checked_images``."""
    kind = image_kind(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _READERS[kind or "PNG"](file, size)
        if not 0 < header.width * header.height <= MAX_PIXELS:
            raise ValueError(
                f"got {header.width}x{header.height} pixels, allowed are 1 to {MAX_PIXELS} in all"
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"input {path}: cannot be read as {kind}: {reason}") from None
    return header


def _png(file: BinaryIO, size: int) -> ImageHeader:
    head = file.read(33)
    if not head.startswith(PNG_SIGNATURE) or len(head) < 33 or head[12:16] != b"IHDR":
        raise ValueError("it does not start as a PNG does")
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    colours = head[25]  # 0 grey, 2 R'G'B', 3 palette, 4 grey and alpha, 6 R'G'B' and alpha
    alpha = colours in (4, 6)
    place = 33
    while (kind := _chunk(file, place, size))[1] != b"IDAT":
        if kind[1] == b"acTL":
            raise ValueError("it is an animation, allowed is a still image")
        alpha |= kind[1] == b"tRNS"
        place += 12 + kind[0]
    file.seek(max(0, size - len(PNG_END)))
    if file.read() != PNG_END:
        while (kind := _chunk(file, place, size))[1] != b"IEND":  # there is more behind it
            place += 12 + kind[0]
    return ImageHeader(width, height, 16 if head[24] == 16 else 8, alpha, colours in (0, 4))


def _chunk(file: BinaryIO, place: int, size: int) -> tuple[int, bytes]:
    """The length and the kind of a PNG chunk. Raises ValueError where it is cut off."""
    file.seek(place)
    head = file.read(8)
    length = int.from_bytes(head[:4], "big")
    if len(head) < 8 or place + 12 + length > size:
        raise ValueError("it breaks off")
    return length, head[4:]


def _jpeg(file: BinaryIO, size: int) -> ImageHeader:
    if file.read(2) != b"\xff\xd8":
        raise ValueError("it does not start as a JPEG does")
    header: ImageHeader | None = None
    turned, place = False, 2
    while True:
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            raise ValueError("it is damaged or breaks off")
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if marker == 0xFF or marker in WITHOUT_LENGTH:
            place += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            break
        if marker == 0xE1:
            turned |= _exif_turns(file.read(length - 2))
        if marker in FRAMES_OF_JPEG:
            bits, *sides, parts = file.read(6)
            if bits != 8:
                raise ValueError(f"got {bits} bits a sample, allowed are 8")
            high, wide = (sides[at] << 8 | sides[at + 1] for at in (0, 2))
            header = ImageHeader(wide, high, grey=parts == 1)
        place += 2 + length
    if header is None or not _ends(file, place, size):
        raise ValueError("it breaks off")
    return _turned(header) if turned else header


def _ends(file: BinaryIO, place: int, size: int) -> bool:
    """Whether a JPEG's end comes after its first scan, whatever a camera has put behind it."""
    if not size:
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.rfind(b"\xff\xd9", place) >= 0


def _exif_turns(data: bytes) -> bool:
    """Whether Exif's orientation, 5 to 8, exchanges width and height."""
    if not data.startswith(b"Exif\0\0"):
        return False
    try:
        tags = _tiff_tags(data[6:])[0]
    except ValueError:
        return False  # a decoder does without it, too
    return tags.get(274, (1,))[0] in SIDEWAYS


def _webp(file: BinaryIO, size: int) -> ImageHeader:
    head = file.read(40)
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        raise ValueError("it does not start as a WebP does")
    if int.from_bytes(head[4:8], "little") + 8 > size:
        raise ValueError("it breaks off")
    kind, data = head[12:16], head[20:]
    if kind == b"VP8X":
        if data[0] & 2:
            raise ValueError("it is an animation, allowed is a still image")
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (4, 7))
        return ImageHeader(width, height, alpha=bool(data[0] & 16), lossless=_is_vp8l(file, size))
    if kind == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        sides = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        return ImageHeader(*sides, alpha=bool(bits >> 28 & 1), lossless=True)
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        return ImageHeader(width, height)
    raise ValueError("it is damaged")


def _is_vp8l(file: BinaryIO, size: int) -> bool:
    """Whether an extended WebP's pixels are coded without loss."""
    place = 12
    while place + 8 <= size:
        file.seek(place)
        head = file.read(8)
        if head[:4] in (b"VP8 ", b"VP8L"):
            return head[:4] == b"VP8L"
        length = int.from_bytes(head[4:], "little")
        place += 8 + length + length % 2
    raise ValueError("it breaks off")


def _tiff(file: BinaryIO, size: int) -> ImageHeader:
    if not size:
        raise ValueError("it is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tags, *others = _tiff_tags(data)
    if any(not other.get(254, (0,))[0] & 1 for other in others):  # 1: a smaller copy
        raise ValueError(f"it holds {1 + len(others)} images, allowed is one")
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    if max(bits) > 16 or 8 < max(bits) < 16 or set(kinds) - {1, 4}:
        number = " as floating point" if 3 in kinds else ""
        raise ValueError(
            f"got {max(bits)} bits a sample{number}, allowed are whole numbers of 8 or 16"
        )
    for offsets, counts in ((273, 279), (324, 325)):
        ends = map(sum, zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False))
        if max(ends, default=0) > size:
            raise ValueError("it breaks off")
    meaning = tags.get(262, (2,))[0]  # 0 and 1: grey
    alpha = tags.get(277, (1,))[0] > COLOURS_OF_TIFF.get(meaning, 3)
    if alpha and meaning != 2:
        raise ValueError("transparency is read of R'G'B' alone in TIFF, allowed elsewhere is none")
    header = ImageHeader(
        tags.get(256, (0,))[0],
        tags.get(257, (0,))[0],
        16 if max(bits) == 16 else 8,
        alpha=alpha,
        grey=meaning in (0, 1),
    )
    return _turned(header) if tags.get(274, (1,))[0] in SIDEWAYS else header


def _turned(header: ImageHeader) -> ImageHeader:
    return replace(header, width=header.height, height=header.width)


def _tiff_tags(data: bytes | mmap.mmap) -> list[Tags]:
    """The tags of each image in a TIFF. Raises ValueError."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def number(place: int, count: int) -> int:
        if place + count > len(data):
            raise ValueError("it breaks off")
        return int.from_bytes(data[place : place + count], order)

    if data[:2] not in (b"II", b"MM") or number(2, 2) != 42:
        raise ValueError("it does not start as a TIFF of 4 GB at most does")
    directories: list[Tags] = []
    place = number(4, 4)
    while place and len(directories) < MOST_IMAGES:
        tags: dict[int, tuple[int, ...]] = {}
        entries = number(place, 2)
        for entry in range(place + 2, place + 2 + 12 * entries, 12):
            kind, count = number(entry + 2, 2), number(entry + 4, 4)
            size = TIFF_SIZES.get(kind)
            if size is None:
                continue
            values = entry + 8 if size * count <= 4 else number(entry + 8, 4)
            if values + size * count > len(data):
                raise ValueError("it breaks off")
            tags[number(entry, 2)] = tuple(number(values + size * n, size) for n in range(count))
        directories.append(tags)
        place = number(place + 2 + 12 * entries, 4)
    if not directories:
        raise ValueError("there is no image in it")
    return directories


_READERS: dict[str, Callable[[BinaryIO, int], ImageHeader]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WebP": _webp,
    "TIFF": _tiff,
}
