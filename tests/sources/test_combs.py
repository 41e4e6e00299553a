"""What is left of combs, where something moves, after deinterlacing."""

from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from peers.interlaced import combed, woven

from streamsr.media.pixels import planes_of
from streamsr.sources.interlace.combs import without_combs

Luma = NDArray[np.uint8]

WIDTH, HEIGHT = 192, 113


def text(count: int, across: int, down: int) -> Iterator[tuple[Luma, ...]]:
    """Thin letters that move by so many pixels a moment."""
    page = np.full((400, 800), 30, np.uint8)
    for line in range(14):
        words = f"Quick brown foxes {line} jump over lazy dogs, and so on and so forth"
        place, font = (5, 25 + 26 * line), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(page, words, place, font, 0.6, 220, 1, cv2.LINE_AA)
    for moment in range(count):
        top, left = 10 + down * moment, 5 + across * moment
        yield (page[top : top + HEIGHT, left : left + WIDTH].copy(),)


def image_of(luma: Luma, pix_fmt: str = "gray") -> av.VideoFrame:
    image = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
    plane = planes_of(image)[0]
    plane[:] = luma.astype(plane.dtype) << (2 if plane.dtype == np.uint16 else 0)
    image.time_base = Fraction(1, 25)
    return image


def made_of(frame: Luma, sent: int) -> Luma:
    """The frame with each row of the other field made of those beside it."""
    rows = frame.astype(np.int16)
    made = rows.copy()
    made[2 - sent : -1 : 2] = (rows[1 - sent : -2 : 2] + rows[3 - sent :: 2]) // 2
    return made.astype(np.uint8)


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p", "yuv422p10le"])
@pytest.mark.parametrize("sent", [0, 1])
@pytest.mark.parametrize(("across", "down"), [(3, 0), (0, 2), (5, 1)])
def test_moving_text_is_not_combed(pix_fmt: str, sent: int, across: int, down: int) -> None:
    frames = [luma for (luma,) in woven(text(6, across, down), top_first=sent == 0)]
    beside = [image_of(frame, pix_fmt) for frame in frames]
    made = made_of(frames[1], sent)
    image = image_of(made, pix_fmt)
    assert combed(made) > 0.01
    without_combs(image, *beside)
    luma = (planes_of(image)[0] >> (2 if pix_fmt.endswith("le") else 0)).astype(np.uint8)
    assert combed(luma) < 0.001
    whole = list(text(3, across, down))[2][0].astype(int)
    error, before = (np.square(x - whole).mean() for x in (luma.astype(int), made.astype(int)))
    assert error < 1.15 * before, "it costs next to nothing of what is right"


def test_what_stands_still_keeps_its_rows() -> None:
    (luma,) = next(iter(text(1, 0, 0)))
    made = made_of(luma, 0)
    image, beside = image_of(made), [image_of(luma)] * 3
    without_combs(image, *beside)
    np.testing.assert_array_equal(planes_of(image)[0], made)


@pytest.mark.parametrize("pix_fmt", ["gray", "rgb24", "gbrp", "yuv420p10be"])
def test_whole_images_and_other_formats_stay_as_they_are(pix_fmt: str) -> None:
    """A format that is not read is neither taken for another one, nor a failure."""
    before, now, after = (image_of(luma).reformat(format=pix_fmt) for (luma,) in text(3, 3, 0))
    image = image_of(next(text(2, 3, 0))[0]).reformat(format=pix_fmt)
    if pix_fmt == "gray":
        image = now
    wanted = [bytes(plane) for plane in image.planes]
    without_combs(image, before, now, after)
    assert [bytes(plane) for plane in image.planes] == wanted
