"""What a program gets wrong is of streamsr's own errors: what was got and what is allowed."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import streamsr

GREY = np.zeros((24, 32), np.uint8)
RGB = np.zeros((24, 32, 3), np.uint8)
FILTER: Any = streamsr.Upscaler("bicubic", device="cpu")
WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "a meta tensor": (lambda up: up(torch.zeros(3, 8, 8, device="meta")), "on meta, allowed"),
    "a sparse tensor": (lambda up: up(torch.zeros(3, 8, 8).to_sparse()), "sparse_coo"),
    "a tuple of images": (lambda up: up((RGB, RGB)), "a tuple of 2, allowed are .* a list"),
    "an image and two tags": (lambda up: list(up.map([(RGB, 1, 2)])), "a tuple of 3"),
    "a tag before its image": (lambda up: list(up.map(enumerate([RGB]))), "a pair of int and an"),
    "three of full size": (lambda up: up((GREY,) * 3), r"got shapes .*h/2"),
    "no source": (lambda up: up.upscale_file(None, "out.mp4"), "source: got None"),
    "no target": (lambda up: up.upscale_file("in.mp4", 5), "target: got 5"),
    "an empty target": (lambda up: up.upscale_file("demo", ""), "target: got '', allowed are"),
    "a path that is no source": (
        lambda up: up.upscale_file(Path("demo"), "out.mp4"),
        "input ./demo: there is no such file",
    ),
    "a size of bytes": (lambda _: streamsr.Upscaler(size=b"1080p"), "b'1080p'.*, allowed are"),  # type: ignore[arg-type]
    "half a pixel": (lambda up: up.size_of(1.5, 5), "got 1.5x5, allowed are whole"),
    "less than no pixel": (lambda up: up.size_of(-1, 5), "got -1x5, allowed are whole"),
    "colours by name": (lambda _: streamsr.Upscaler(colour="bt709"), "'bt709', .*ColourTags"),  # type: ignore[arg-type]
    "a number as a model": (lambda _: streamsr.Upscaler(5), "^model: got 5"),  # type: ignore[arg-type]
    "bytes as a model": (lambda _: streamsr.Upscaler(b"fast"), "^model: got b'fast'"),  # type: ignore[arg-type]
    "no engine": (lambda _: streamsr.Upscaler(engine="cpu"), "^engine: got 'cpu'"),  # type: ignore[arg-type]
    "no folders": (lambda _: streamsr.Upscaler(folders=5), "^folders: got 5"),  # type: ignore[arg-type]
    "a number as a folder": (lambda _: streamsr.Upscaler(folders=[5]), "^folders: got 5"),  # type: ignore[list-item]
    "a text as a scale": (lambda _: streamsr.Upscaler(scale="2"), "^scale: got '2'"),  # type: ignore[arg-type]
    "a truth as a scale": (lambda _: streamsr.Upscaler(scale=True), "^scale: got True"),
    "no degradation": (
        lambda _: streamsr.evaluate("clips", degrade="foo"),  # type: ignore[arg-type]
        "degrade: got 'foo', allowed are bicubic",
    ),
    "a number to score": (lambda _: streamsr.evaluate(5), "target: got 5"),  # type: ignore[arg-type]
    "device 0": (lambda _: streamsr.Upscaler(device=0), "got '0', allowed are auto"),  # type: ignore[arg-type]
    "no folder": (
        lambda _: streamsr.Upscaler(Path("away") / "from-here"),
        "there is no such",
    ),
    "a file as a model": (lambda _: streamsr.Upscaler(Path(__file__)), "got a file, allowed is a"),
    "no frames": (
        lambda _: streamsr.evaluate(__file__, max_frames=0),
        "max_frames: got 0, allowed",
    ),
    "no name": (lambda _: streamsr.import_model("x.pth", None), "got None, allowed"),  # type: ignore[arg-type]
    "no network": (
        lambda _: streamsr.save_model(None, "m", made_by="fast", scale=2),  # type: ignore[arg-type]
        "got NoneType, allowed is a torch.nn.Module",
    ),
    "swapped": (lambda _: streamsr.register_source(int, "scheme"), "its name comes first"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_in_a_line(case: str) -> None:
    act, words = WRONG[case]
    with pytest.raises(streamsr.UserError, match=words) as caught:
        act(FILTER)
    assert "\n" not in str(caught.value)


async def test_what_no_pipeline_can_be_opened_with_is_named() -> None:
    class Sink:
        def write(self, image: object, time_s: float) -> None: ...

        def close(self) -> None: ...

    with pytest.raises(streamsr.ConfigError, match="sinks: got Sink, allowed are several"):
        async with streamsr.open_pipeline({"input": {"url": "demo"}}, sinks=Sink()):  # type: ignore[arg-type]
            pass

    async def hear(event: streamsr.Event) -> None: ...

    for wrong, words in ((hear, "an async function"), (5, "5")):
        with pytest.raises(streamsr.ConfigError, match=f"emit: got {words}, allowed is a function"):
            async with streamsr.open_pipeline({"input": {"url": "demo"}}, wrong):  # type: ignore[arg-type]
                pass
    with pytest.raises(streamsr.ConfigError, match="settings: got list, allowed are a file's path"):
        async with streamsr.open_pipeline([]):  # type: ignore[arg-type]
            pass
    with pytest.raises(streamsr.ConfigError, match=r"away\.toml: there is no such file"):
        async with streamsr.open_pipeline("away.toml"):
            pass


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_pipeline_may_be_a_file(tmp_path: Path, kind: type) -> None:
    file, made = tmp_path / "pipeline.toml", tmp_path / "out.mp4"
    file.write_text(
        f"[input]\nurl = 'demo'\n[model]\nname = 'bicubic'\n[output]\npath = '{made}'\n"
        "[limits]\nframes = 3\n"
    )
    async with streamsr.open_pipeline(kind(file)) as pipeline:
        assert (await pipeline.run()).frames_in == 3
    assert made.exists()


def test_weights_that_do_not_fit_are_told_in_a_line(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, width, 1), nn.Conv2d(width, 12, 1)

        def forward(self, window: torch.Tensor) -> torch.Tensor:
            return nn.functional.pixel_shuffle(self.last(self.first(window[:, 0])), 2)

    wrong = {"made_by": "twice-wrong", "options": {"width": 3}, "scale": 2}
    with (
        streamsr.register_network("twice-wrong", Twice),
        pytest.raises(streamsr.ModelError, match=r"size mismatch for first\.weight") as caught,
    ):
        streamsr.save_model(Twice(), "m", tmp_path, **wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_a_tuple_of_grey_images_is_a_clip() -> None:
    assert [made.shape for made in FILTER.map((GREY, GREY, GREY))] == [(96, 128)] * 3
    assert [
        made.shape for made in FILTER.upscale_image((GREY, GREY[::2, ::2], GREY[::2, ::2]))
    ] == [
        (96, 128),
        (48, 64),
        (48, 64),
    ]


def test_a_tag_may_be_an_image_too() -> None:
    mask = np.ones((24, 32), np.uint8)
    for image in (Image.fromarray(RGB), torch.zeros(3, 24, 32), av.VideoFrame(32, 24)):
        ((_, tag),) = FILTER.map([(image, mask)])
        assert tag is mask


def test_one_model_beside_another_is_no_list_of_letters(clip: Callable[..., Path]) -> None:
    scored = streamsr.evaluate(clip(), "bicubic", against="lanczos", scale=2, max_frames=1)
    assert [*scored.others] == ["lanczos"]


def test_an_upscaler_says_what_it_is_and_is_not_copied() -> None:
    with streamsr.Engine("cpu") as engine, engine.stream("bicubic") as upscaler:
        assert repr(upscaler) == "<streamsr.Upscaler of 'bicubic' on cpu>"
        for one in (engine, upscaler):
            with pytest.raises(TypeError, match="make one in each process"):
                pickle.dumps(one)
    assert "closed" in repr(upscaler)
    with pytest.raises(streamsr.InputError, match="closed"):
        upscaler.__enter__()
