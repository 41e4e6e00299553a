"""Single images, each by itself."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import streamsr

photo = Image.fromarray(np.zeros((24, 32, 3), np.uint8))

with streamsr.Upscaler("fast", size="96x96") as upscaler:
    larger = upscaler.upscale_image(photo)
    assert larger.size == (96, 72)
    rgba = upscaler(np.zeros((24, 32, 4), np.uint8))
    assert rgba.shape == (72, 96, 4)
    grey = upscaler.upscale(np.zeros((24, 32), np.uint16))
    assert grey.dtype == np.uint16
    assert upscaler.size_of(24, 24) == (96, 96)


class Camera:
    """What NumPy can read is an image, and an array comes back."""

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[np.uint8]:
        return np.full((24, 32), 90, np.uint8)


with streamsr.Upscaler("bicubic", scale=2) as upscaler:
    assert np.asarray(upscaler(Camera())).shape == (48, 64)
