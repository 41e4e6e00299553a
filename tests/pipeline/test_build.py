"""Which models a stream may run, and in which order it steps down."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from streamsr.core.settings import ModelSettings
from streamsr.engine.engines import Engines
from streamsr.pipeline.build import ladder_of
from streamsr.zoo import loading, registry


@pytest.fixture
def engines() -> Iterator[Engines]:
    with Engines(torch.device("cpu")) as made:
        yield made


def names(engines: Engines, *, amx: bool, in_haste: bool = True, **model: object) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "has_amx", lambda: amx)
        settings = ModelSettings.model_validate(model)
        return [step.name for step in ladder_of(settings, engines, in_haste=in_haste)]


def test_a_live_stream_steps_down_to_its_models_lighter_one_first(engines: Engines) -> None:
    assert names(engines, amx=True, name="fast") == ["fast", "fast-small", "bicubic"]
    assert names(engines, amx=True, name="fast", fallback=["lanczos"])[1:] == [
        "fast-small",
        "lanczos",
    ]
    assert names(engines, amx=True, name="bicubic") == ["bicubic"]
    assert names(engines, amx=True, name="fast", fallback=[]) == ["fast"]


def test_a_cpu_without_matrix_units_starts_with_the_lighter_one(engines: Engines) -> None:
    assert names(engines, amx=False, name="fast") == ["fast-small", "bicubic"]
    assert names(engines, amx=False, in_haste=False, name="fast") == ["fast-small"]
    assert names(engines, amx=True, in_haste=False, name="fast") == ["fast"]


def test_a_folder_is_taken_as_it_is(engines: Engines) -> None:
    folder = Path(registry.find("fast").folder)
    assert names(engines, amx=False, in_haste=False, name=str(folder)) == ["fast"]
