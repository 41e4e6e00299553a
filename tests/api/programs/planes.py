"""4:2:0 as planes, and as OpenCV has it in one array."""

import numpy as np
from numpy.typing import NDArray

import streamsr

Plane = NDArray[np.uint8]
luma: Plane = np.full((24, 32), 90, np.uint8)
chroma: Plane = np.full((12, 16), 128, np.uint8)

with streamsr.Upscaler("fast", colour=streamsr.ColourTags(matrix=1)) as upscaler:
    y, cb, cr = upscaler((luma, chroma, chroma))
    assert (y.shape, cb.shape, cr.shape) == ((96, 128), (48, 64), (48, 64))
    for planes in upscaler.map([(luma, chroma, chroma)] * 3):
        assert planes[0].dtype == np.uint8
with streamsr.Upscaler("bicubic", layout="nv12") as upscaler:
    packed = upscaler(np.zeros((36, 32), np.uint8))
    assert packed.shape == (144, 128)
