"""A still of a frame: its colours are those of the video, whatever its matrix and range."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.media.images import jpeg_of
from streamsr.media.pixels import planes_of

PATCH = 32  # samples on a side of one flat colour
SIZE = 8 * PATCH
BASE = Fraction(1, 90_000)
TAGS = [
    ColourTags(matrix, primaries, primaries, full)
    for matrix, primaries in ((1, 1), (5, 5), (6, 6), (9, 9))
    for full in (False, True)
]


def patches(tags: ColourTags) -> Frame:
    """Flat patches of random colours, all of which exist as R'G'B'."""
    red, green, blue = np.random.default_rng(1).random((3, 8, 8))
    kr, kb = tags.kr_kb
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    scale, offset, chroma = (255, 0, 255) if tags.full_range else (219, 16, 224)
    planes = (offset + scale * y, 128 + chroma * u, 128 + chroma * v)
    sizes = (PATCH, PATCH // 2, PATCH // 2)
    return Frame(
        tuple(
            np.round(plane).clip(0, 255).astype(np.uint8).repeat(n, 0).repeat(n, 1)
            for plane, n in zip(planes, sizes, strict=True)
        ),
        tags,
        pts=0,
        time_base=BASE,
    )


def decoded(jpeg: bytes) -> av.VideoFrame:
    decoder = av.CodecContext.create("mjpeg", "r")
    (image,) = [*decoder.decode(av.Packet(jpeg)), *decoder.decode(None)]
    return image


def centres(planes: tuple[Plane, ...]) -> NDArray[np.float64]:
    """Y, Cb, Cr of the middle of each patch: (3, 8, 8)."""
    sides = (PATCH, PATCH // 2, PATCH // 2)
    values = []
    for plane, n in zip(planes, sides, strict=True):
        blocks = plane.reshape(8, n, 8, n)[:, n // 4 : -n // 4, :, n // 4 : -n // 4]
        values.append(blocks.mean(axis=(1, 3)))
    return np.stack(values)


def as_jfif(values: NDArray[np.float64], tags: ColourTags) -> NDArray[np.float64]:
    """What Y'CbCr of ``tags`` is in BT.601, full range (JFIF 1.02)."""
    scale, offset, chroma = (255, 0, 255) if tags.full_range else (219, 16, 224)
    y, u, v = (values[0] - offset) / scale, (values[1] - 128) / chroma, (values[2] - 128) / chroma
    kr, kb = tags.kr_kb
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - luma) / 1.772, (red - luma) / 1.402
    return np.stack([255 * luma, 255 * cb + 128, 255 * cr + 128])


@pytest.mark.parametrize("tags", TAGS, ids=lambda t: f"matrix{t.matrix}-full{t.full_range:d}")
def test_the_colours_are_those_of_the_video(tags: ColourTags) -> None:
    frame = patches(tags)
    image = decoded(jpeg_of(frame))
    assert image.format.name == "yuvj420p"
    assert np.abs(centres(planes_of(image)) - as_jfif(centres(frame.planes), tags)).max() <= 2


def test_other_tags_would_show() -> None:
    """The test above can fail: taken for BT.601 or for full range, the colours are far off."""
    values = centres(patches(TAGS[0]).planes)
    right = as_jfif(values, TAGS[0])
    for wrong in (ColourTags(6, 6, 6), ColourTags(1, 1, 1, full_range=True)):
        assert np.abs(as_jfif(values, wrong) - right).max() > 10


def test_rgb_frames_keep_their_colours() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    frame = Frame((rgb,), ColourTags(0, 1, 13, True), 0, BASE)
    shown = cv2.imdecode(np.frombuffer(jpeg_of(frame), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert shown is not None
    middles = (slice(6, None, 16), slice(6, None, 16))
    assert np.abs(shown[middles].astype(int) - rgb[middles]).max() <= 6


def grey(width: int, height: int) -> Frame:
    half = (-(-height // 2), -(-width // 2))
    planes = tuple(np.full(shape, 90, np.uint8) for shape in ((height, width), half, half))
    return Frame(planes, ColourTags(), 0, BASE)


@pytest.mark.parametrize("size", [(64, 36), (130, 98), (16, 16), (33, 17), (1, 1)])
def test_any_size(size: tuple[int, int]) -> None:
    image = decoded(jpeg_of(grey(*size)))
    assert (image.width, image.height) == size


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(16, 11), (93, 36)),
        (Fraction(1, 2), (64, 72)),
        (Fraction(4, 3), (85, 36)),
        (Fraction(1000), (512, 36)),
    ],
    ids=str,
)
def test_pixels_are_made_square(aspect: Fraction, size: tuple[int, int]) -> None:
    image = decoded(jpeg_of(grey(64, 36), aspect))
    assert (image.width, image.height) == size
