"""Batches as arrays: a clip of frames, and clips side by side."""

import numpy as np
import torch
from numpy.typing import NDArray

import streamsr

upscaler = streamsr.Upscaler("bicubic", scale=2)
clip: NDArray[np.uint8] = np.zeros((5, 24, 32, 3), np.uint8)
larger: NDArray[np.uint8] = upscaler(clip)
assert larger.shape == (5, 48, 64, 3)
assert upscaler.upscale(clip).shape == (5, 48, 64, 3)
grey = upscaler(np.zeros((5, 24, 32), np.float32))
assert grey.shape == (5, 48, 64)
assert grey.dtype == np.float32
batch: torch.Tensor = upscaler(torch.rand(2, 5, 3, 24, 32))
assert batch.shape == (2, 5, 3, 48, 64)
upscaler.close()
