"""Several cameras in threads, the model loaded once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import streamsr


def camera(engine: streamsr.Engine, level: int) -> float:
    with engine.stream("fast", scale=2) as upscaler:
        frames = (np.full((24, 32, 3), level, np.uint8) for _ in range(5))
        return float(np.mean([frame.mean() for frame in upscaler.map(frames)]))


with streamsr.Engine() as engine, ThreadPoolExecutor(3) as threads:
    means = list(threads.map(lambda level: camera(engine, level), (20, 120, 220)))
    assert all(abs(mean - level) < 2 for mean, level in zip(means, (20, 120, 220), strict=True))
    other = streamsr.Upscaler("bicubic", engine=engine)
    assert other(np.zeros((8, 8), np.uint8)).shape == (32, 32)
assert engine.closed
assert other.closed
