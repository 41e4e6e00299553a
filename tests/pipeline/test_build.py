"""Which models a stream may run, and in which order it falls back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from streamsr.core.settings import ModelSettings
from streamsr.engine.engines import Engines
from streamsr.pipeline.build import load_models
from streamsr.zoo import loading, registry


@pytest.fixture
def engines() -> Iterator[Engines]:
    with Engines(torch.device("cpu")) as made:
        yield made


def names(engines: Engines, *, amx: bool, real_time: bool = True, **model: object) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "has_amx", lambda: amx)
        settings = ModelSettings.model_validate(model)
        return [model.name for model in load_models(settings, engines, real_time=real_time)]


def test_a_live_stream_falls_back_to_its_models_lighter_one_first(engines: Engines) -> None:
    assert names(engines, amx=True, name="fast") == ["fast", "fast-small", "bicubic"]
    assert names(engines, amx=True, name="fast", fallback=["lanczos"])[1:] == [
        "fast-small",
        "lanczos",
    ]
    assert names(engines, amx=True, name="bicubic") == ["bicubic"]
    assert names(engines, amx=True, name="fast", fallback=[]) == ["fast"]


def test_a_cpu_without_matrix_units_starts_with_the_lighter_one(engines: Engines) -> None:
    assert names(engines, amx=False, name="fast") == ["fast-small", "bicubic"]
    assert names(engines, amx=False, real_time=False, name="fast") == ["fast-small"]
    assert names(engines, amx=True, real_time=False, name="fast") == ["fast"]


def test_a_folder_is_taken_as_it_is(engines: Engines) -> None:
    folder = Path(registry.find("fast").folder)
    assert names(engines, amx=False, real_time=False, name=str(folder)) == ["fast"]
