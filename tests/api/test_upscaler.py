"""The library: images in and out, and a pipeline as a context."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import read_number

import streamsr
from streamsr.sources.opening import file_frames


def images(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def engine() -> Iterator[streamsr.Engine]:
    with streamsr.Engine("cpu") as made:
        yield made


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


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"scale": 2}, (64, 48)),
        ({"scale": 1.5}, (48, 36)),
        ({"scale": 1}, (32, 24)),
        ({"size": "720p"}, (960, 720)),
        ({"size": (96, 96)}, (96, 72)),
        ({"size": 60}, (80, 60)),
        ({"size": "64x64"}, (64, 48)),
    ],
)
@pytest.mark.parametrize("model", ["bicubic", "fast"])
def test_a_size_is_that_of_the_command_line(
    engine: streamsr.Engine, model: str, settings: dict[str, Any], size: tuple[int, int]
) -> None:
    with engine.stream(model, **settings) as upscaler:
        assert upscaler.size_of(32, 24) == size
        assert upscaler(images(1)[0]).shape == (size[1], size[0], 3)


def test_the_smallest_member_that_reaches_a_size_makes_it(engine: streamsr.Engine) -> None:
    assert engine.stream("fast", scale=1.5).model == "fast-x2"
    assert engine.stream("fast", scale=2.5).model == "fast-x3"
    assert (engine.stream("fast", scale=8).model, engine.stream("fast").scale) == ("fast", 4)
    upscaler = engine.stream("fast", size=48)
    assert upscaler(images(1)[0]).shape == (48, 64, 3)
    assert (upscaler.model, upscaler.scale) == ("fast-x2", 2)


def test_the_chroma_of_video_has_whole_samples() -> None:
    with streamsr.Upscaler("bicubic", device="cpu", scale=1.5) as upscaler:
        image = np.zeros((22, 30, 3), np.uint8)
        assert upscaler(image).shape == (33, 45, 3)
        luma, *_ = upscaler((image[..., 0], image[::2, ::2, 0], image[::2, ::2, 0]))
        assert luma.shape == (32, 44)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 9}, r"scale: got 9, allowed is 0.25 to 8"),
        ({"scale": 2, "size": "720p"}, r"allowed is a size or a scale, not both"),
        ({"size": "1080"}, None),
        ({"size": "1081p"}, r"size: got '1081p', allowed are .*did you mean '1080p'"),
        ({"size": (5, 5)}, r"size: got '5x5', allowed are"),
        ({"scale": "2x"}, r"scale: got '2x', allowed are numbers"),
    ],
)
def test_a_wrong_size_is_named(settings: dict[str, Any], message: str | None) -> None:
    if message is None:
        streamsr.Upscaler("bicubic", device="cpu", **settings).close()
        return
    with pytest.raises(streamsr.ConfigError, match=message):
        streamsr.Upscaler("bicubic", device="cpu", **settings)


def test_a_size_that_cannot_be_is_named_by_the_image() -> None:
    with streamsr.Upscaler("bicubic", device="cpu", scale=8) as upscaler:
        with pytest.raises(streamsr.ConfigError, match="output size x8: got 8x16"):
            upscaler(np.zeros((2, 1, 3), np.uint8))
        assert upscaler(np.zeros((2, 2, 3), np.uint8)).shape == (16, 16, 3)


@pytest.mark.parametrize("model", ["no-such", "fast-x7"])
def test_a_model_that_there_is_not_is_a_model_error(model: str) -> None:
    with pytest.raises(streamsr.ModelError, match=r"got .*"):
        streamsr.Upscaler(model, device="cpu")
    with pytest.raises(streamsr.ModelError, match="there is no such folder"):
        streamsr.Upscaler(Path("fast"), device="cpu")
    with pytest.raises(streamsr.ModelError, match="no such folder"):
        streamsr.Upscaler("fast", device="cpu", folders=Path("nowhere"))


def test_images_of_one_stream_have_one_size() -> None:
    with streamsr.Upscaler("bicubic", device="cpu") as upscaler:
        upscaler.push(images(1)[0])
        with pytest.raises(streamsr.InputError, match="image 2: got 9x9, allowed is 32x24"):
            upscaler.push(np.zeros((9, 9, 3), np.uint8))
        upscaler.flush()
        assert upscaler.push(np.zeros((9, 9, 3), np.uint8))[0].shape == (36, 36, 3)


def test_tags_come_back_from_push_and_flush() -> None:
    with streamsr.Upscaler("bicubic", device="cpu") as upscaler:
        ((made, tag),) = upscaler.push(images(1)[0], tag=7.5)
        assert (made.shape, tag) == ((96, 128, 3), 7.5)
        ((_, none),) = upscaler.push(images(1)[0], None)
        assert none is None
        assert upscaler.flush() == []


def test_a_network_that_fails_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with streamsr.Upscaler("fast-x2", device="cpu") as upscaler:
        model: Any = upscaler.engine.load(upscaler.entry).model

        def fails(*arguments: Any) -> Any:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(type(model.network), "align", fails)
        assert upscaler(images(1)[0]).shape == (48, 64, 3)
    assert "the network failed: out of memory; the frame is scaled plainly" in caplog.text


@pytest.mark.parametrize("in_loop", [False, True])
async def test_a_file_becomes_another(
    clip: Callable[..., Path], tmp_path: Path, in_loop: bool
) -> None:
    source, target = clip(), tmp_path / "out.mp4"
    with streamsr.Upscaler("bicubic", device="cpu", size=360) as upscaler:
        run = partial(upscaler.upscale_file, source, target, frames=10)
        summary = run() if in_loop else await asyncio.to_thread(run)
        assert (summary.frames_out, summary.output) == (10, "640x360")
        assert [read_number(frame.planes[0]) for frame in file_frames(target)] == list(range(10))
        with pytest.raises(streamsr.OutputError, match=r"out\.mp4"):
            run()
        with pytest.raises(streamsr.InputError, match=r"nowhere\.mp4"):
            upscaler.upscale_file("nowhere.mp4", tmp_path / "2.mp4")


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "expected"),
    [("libx264", "yuv420p", "fast-camera"), ("ffv1", "yuv420p", "fast")],
)
def test_a_file_has_the_family_that_suits_how_it_is_coded(
    clip: Callable[..., Path], tmp_path: Path, codec: str, pix_fmt: str, expected: str
) -> None:
    source = clip(codec=codec, pix_fmt=pix_fmt, seconds=0.2, audio=False)
    with streamsr.Upscaler("auto", device="cpu") as upscaler:
        summary = upscaler.upscale_file(source, tmp_path / "out.mp4", frames=2)
        assert (summary.model, upscaler.model) == (expected, "fast")


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


@pytest.mark.parametrize(
    "asked", [{"scale": np.float32(2)}, {"size": [64, 48]}, {"size": np.array([64, 48])}]
)
def test_numbers_of_numpy_and_lists_are_as_good(
    engine: streamsr.Engine, asked: dict[str, Any]
) -> None:
    with engine.stream("bicubic", **asked) as upscaler:
        assert upscaler.upscale_image(images(1)[0]).shape == (48, 64, 3)


async def test_images_that_are_pushed_at_once_are_in_their_order(engine: streamsr.Engine) -> None:
    with engine.stream("bicubic") as upscaler:
        given = images(1) * 40
        made = await asyncio.gather(*(upscaler.apush(one, n) for n, one in enumerate(given)))
        rest = await upscaler.aflush()
    assert [tag for some in [*made, rest] for _, tag in some] == [*range(40)]
    with pytest.raises(streamsr.InputError, match="closed"):
        await upscaler.apush(given[0])


@pytest.mark.parametrize("name", ["there.mp4", "images"])
async def test_what_is_there_is_replaced_as_a_program_says_it(
    name: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    source, there = clip(width=32, height=16, seconds=0.2), tmp_path / name
    with streamsr.Upscaler("bicubic", device="cpu") as upscaler:
        upscaler.upscale_file(source, there, frames=2)
        with pytest.raises(streamsr.OutputError, match=r"; overwrite=True replaces (it|them)$"):
            upscaler.upscale_file(source, there, frames=2)
        upscaler.upscale_file(source, there, frames=2, overwrite=True)
    settings = {"input": {"url": str(source)}, "output": {"path": str(there)}}
    with pytest.raises(streamsr.OutputError, match=r"; output\.overwrite = true replaces"):
        async with streamsr.open_pipeline(settings):
            pass
