"""Single images, each by itself."""

import numpy as np
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
