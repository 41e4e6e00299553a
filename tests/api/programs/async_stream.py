"""Images of an asynchronous source, the loop running on."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

import streamsr


async def camera() -> AsyncIterator[tuple[NDArray[np.uint8], int]]:
    for number in range(10):
        await asyncio.sleep(0)
        yield np.full((24, 32, 3), number, np.uint8), number


async def main() -> None:
    async with streamsr.Upscaler("bicubic") as upscaler:
        async for image, number in upscaler.map(camera()):
            assert image[0, 0, 0] == number
        frames = [np.zeros((24, 32, 3), np.uint8) for _ in range(4)]
        async for frame in upscaler.map(frames):
            assert frame.shape == (96, 128, 3)
        first, second = await asyncio.gather(
            upscaler.aupscale(frames[0]), upscaler.aupscale(np.zeros((24, 32), np.float32))
        )
        assert first.dtype == np.uint8
        assert second.dtype == np.float32
        for frame in await upscaler.apush(frames[0]):
            assert frame.ndim == 3
        await upscaler.aflush()


asyncio.run(main())
