"""The library: images in and out, and a pipeline as a context."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from peers import read_number

import streamsr
from streamsr.sources.opening import file_frames


def images(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("model", ["bicubic", "fast"])
def test_every_image_comes_out_once_and_four_times_as_large(model: str) -> None:
    with streamsr.Upscaler(model, device="cpu") as upscaler:
        finished = list(upscaler.upscale(images(5)))
    assert [p.shape for p in finished] == [(96, 128, 3)] * 5
    assert all(p.dtype == np.uint8 for p in finished)


def test_a_second_clip_begins_from_scratch() -> None:
    with streamsr.Upscaler("bicubic", device="cpu") as upscaler:
        first = list(upscaler.upscale(images(3)))
        second = list(upscaler.upscale(images(3)))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(streamsr.UserError, match=r"'fasst'.*'fast'"):
        streamsr.Upscaler("fasst")


async def test_a_pipeline_from_plain_settings(clip: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    settings = {
        "input": {"url": str(clip())},
        "model": {"name": "bicubic", "device": "cpu"},
        "output": {"path": out},
    }
    async with streamsr.open_pipeline(settings) as pipeline:
        summary = await pipeline.run()
    assert (summary.frames_in, summary.frames_out, summary.frames_dropped) == (100, 100, 0)
    assert (summary.input, summary.output) == ("320x180", "1280x720")
    assert [read_number(frame.planes[0]) for frame in file_frames(out)] == list(range(100))


async def test_wrong_settings_are_named() -> None:
    with pytest.raises(streamsr.UserError, match=r"unknown key 'input\.ulr'"):
        async with streamsr.open_pipeline({"input": {"ulr": "demo"}}):
            pass
