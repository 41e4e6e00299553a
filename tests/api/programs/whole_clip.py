"""A clip in memory, lazily and all at once."""

import numpy as np
from numpy.typing import NDArray

import streamsr

frames: list[NDArray[np.uint8]] = [np.full((24, 32, 3), n, np.uint8) for n in range(8)]

with streamsr.Upscaler("bicubic") as upscaler:
    assert upscaler.scale == 4
    assert upscaler.lookahead == 0
    assert upscaler.model == "bicubic"
    for number, frame in enumerate(upscaler.upscale(frames)):
        assert frame.shape == (96, 128, 3)
        assert frame[0, 0, 0] == number
    listed: list[NDArray[np.uint8]] = upscaler(frames)
    lazily: list[NDArray[np.uint8]] = list(upscaler.map(frame for frame in frames))
    assert all(np.array_equal(a, b) for a, b in zip(listed, lazily, strict=True))
    total = np.mean([one.mean() for one in upscaler.map(frames)])
    assert round(float(total), 1) == 3.5
