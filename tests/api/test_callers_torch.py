"""What a caller has set in torch for all of its process changes nothing of what images become."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import streamsr
from streamsr.zoo.card import Precision

CLIP = list(np.random.default_rng(1).integers(0, 255, (4, 24, 32, 3), np.uint8))


def upscaled(model: object, precision: Precision | None) -> NDArray[np.uint8]:
    with streamsr.Upscaler(model, device="cpu", precision=precision) as upscaler:  # type: ignore[arg-type]
        return np.stack(upscaler(CLIP))


@pytest.fixture
def a_callers_torch() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        yield
    torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float32)


MODELS: list[tuple[str, Precision | None]] = [
    ("fast", None),
    ("fast", "float32"),
    ("fast-small", None),
    ("fast-small", "float32"),
    ("lanczos", None),
    ("edvr", None),
]


@pytest.mark.parametrize(("model", "precision"), MODELS)
def test_a_model_gives_what_it_gives_whatever_dtype_and_device_are_a_callers_defaults(
    model: str, precision: Precision | None, waiting: streamsr.Model, request: pytest.FixtureRequest
) -> None:
    named = waiting.folder if model == "edvr" else model
    usual = upscaled(named, precision)
    request.getfixturevalue("a_callers_torch")
    np.testing.assert_array_equal(upscaled(named, precision), usual)
