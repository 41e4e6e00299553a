"""A network of somebody else's code: saved, loaded, streamed, and held to the contract."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import streamsr
from streamsr.core.errors import ModelError


class Mixed(nn.Module):
    """The middle of a window, each pixel ``scale`` times, its colours mixed by what is learnt."""

    def __init__(self, scale: int = 2, gain: float = 1.0) -> None:
        super().__init__()
        self.scale, self.gain = scale, gain
        self.mix = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(self.mix.weight)

    def forward(self, window: Tensor) -> Tensor:
        middle = window[:, window.shape[1] // 2]
        larger = nn.functional.interpolate(middle, scale_factor=self.scale, mode="nearest")
        mixed: Tensor = self.mix(larger) * self.gain
        return mixed


@pytest.fixture
def mixed() -> Iterator[None]:
    with streamsr.register_network("mixed", Mixed):
        yield


def images(count: int, height: int = 30, width: int = 42) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(("window", "lookahead"), [(1, 0), (3, 1)])
def test_a_saved_network_gives_what_it_gave(tmp_path: Path, window: int, lookahead: int) -> None:
    network = Mixed()
    with torch.no_grad():
        network.mix.weight.copy_(torch.eye(3)[[2, 1, 0], :, None, None])  # red is blue
    model = streamsr.save_model(
        network, "mine", tmp_path, made_by="mixed", scale=2, window=window, lookahead=lookahead
    )
    assert (model.name, model.scale, model.lookahead) == ("mine", 2, lookahead)
    clip = images(5)
    with streamsr.Upscaler(model.folder, device="cpu") as upscaler:
        results = list(upscaler.upscale(clip))
    for image, result in zip(clip, results, strict=True):
        wanted = image[..., ::-1].repeat(2, 0).repeat(2, 1)
        assert np.abs(wanted.astype(int) - result.astype(int)).max() <= 1


@pytest.mark.usefixtures("mixed")
def test_options_of_all_kinds_reach_the_factory(tmp_path: Path) -> None:
    model = streamsr.save_model(
        Mixed(3, 0.5), "half", tmp_path, made_by="mixed", scale=3, options={"scale": 3, "gain": 0.5}
    )
    with streamsr.Upscaler(model.folder, device="cpu") as upscaler:
        (result,) = upscaler.upscale([np.full((16, 16, 3), 200, np.uint8)])
    assert result.shape == (48, 48, 3)
    assert abs(int(result.mean()) - 100) <= 1


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"scale": 3}, r"network 'mixed' of this program: got \(1, 3, 32, 32\)"),
        ({"colour": "luma"}, "network 'mixed' of this program"),
        ({"options": {"gein": 1}}, "network 'mixed' of this program: options .*TypeError.*gein"),
        ({"made_by": "mixd"}, r"got 'mixd' \(did you mean 'mixed'\?\)"),
        ({"window": 3, "lookahead": 3}, "lookahead"),
        ({"scale": 9}, "scale"),
    ],
)
def test_what_is_no_model_is_said_and_nothing_is_left(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    asked: dict[str, Any] = {"made_by": "mixed", "scale": 2} | more
    with pytest.raises(ModelError, match=words):
        streamsr.save_model(Mixed(), "mine", tmp_path, **asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("mixed")
def test_a_model_that_is_there_is_kept(tmp_path: Path) -> None:
    streamsr.save_model(Mixed(), "mine", tmp_path, made_by="mixed", scale=2)
    with pytest.raises(ModelError, match="is there already"):
        streamsr.save_model(Mixed(), "mine", tmp_path, made_by="mixed", scale=2)


def test_a_network_that_fails_at_a_size_is_named(tmp_path: Path) -> None:
    class Picky(nn.Module):
        def forward(self, window: Tensor) -> Tensor:
            if window.shape[-1] > 16:
                raise MemoryError("far too wide")
            return window[:, 0]

    with streamsr.register_network("picky", Picky):
        model = streamsr.save_model(Picky(), "picky", tmp_path, made_by="picky", scale=1)
        with (
            streamsr.Upscaler(model.folder, device="cpu") as upscaler,
            pytest.raises(ModelError, match="'picky' of this program: MemoryError: far too wide"),
        ):
            list(upscaler.upscale(images(1)))


def test_what_is_no_network_is_said(tmp_path: Path) -> None:
    class Nothing(nn.Module):
        def forward(self, window: Tensor) -> Tensor:
            return window[:, 0]

    made = streamsr.register_network("list", list)  # type: ignore[arg-type]
    with made, pytest.raises(ModelError, match=r"got list, allowed is a torch\.nn\.Module"):
        streamsr.save_model(Nothing(), "mine", tmp_path, made_by="list", scale=1)


class Remembering(streamsr.RecurrentNetwork[Tensor]):
    """The mean of a frame and of what it gave of the one before."""

    def fresh(self, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        return (torch.zeros(batch, 1, height, width),)

    def align(self, window: Tensor, motion: Tensor) -> Tensor:
        return window[:, 1]

    def advance(
        self, aligned: Tensor, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        output = (aligned + memory[0]) / 2
        return output, (output,)


def test_a_network_with_a_memory_streams(tmp_path: Path) -> None:
    with streamsr.register_network("remembering", Remembering):
        model = streamsr.save_model(
            *(Remembering(), "memory", tmp_path),
            made_by="remembering",
            scale=1,
            window=2,
            colour="luma",
        )
        with streamsr.Upscaler(model.folder, device="cpu") as upscaler:
            grey = [np.full((32, 32, 3), 128, np.uint8)] * 3
            levels = [int(image.mean()) for image in upscaler.upscale(grey)]
    assert levels[0] < levels[1] < levels[2] <= 128
