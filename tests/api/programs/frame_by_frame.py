"""Frames as they come, their times with them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import streamsr

Image = NDArray[np.uint8]


def camera() -> Iterator[tuple[float, Image]]:
    for number in range(6):
        yield number / 25, np.full((24, 32, 3), 40 * number, np.uint8)


def upscaled(upscaler: streamsr.Upscaler) -> Iterator[tuple[Image, float]]:
    for time_s, image in camera():
        yield from upscaler.push(image, time_s)
    yield from upscaler.flush()


with streamsr.Upscaler("fast") as upscaler:
    times: list[float] = []
    for image, time_s in upscaled(upscaler):
        assert image.shape == (96, 128, 3)
        assert image.dtype == np.uint8
        times.append(time_s)
    assert times == [time_s for time_s, _ in camera()]

    plain: list[Image] = []
    for _, image in camera():
        plain += upscaler.push(image)
    plain += upscaler.flush()
    assert len(plain) == 6

    pairs = upscaler.map((image, time_s) for time_s, image in camera())
    assert [time_s for _, time_s in pairs] == times
