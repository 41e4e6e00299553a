"""The pipeline files that come along: they load, and the reference shows every setting."""

import re
import tomllib
from pathlib import Path

import pytest

from streamsr.config import Settings, load, parse
from streamsr.errors import ConfigError
from streamsr.settings import PipelineSettings
from streamsr.train.settings import TrainSettings

PIPELINES = Path(__file__).parents[1] / "pipelines"
REFERENCE = PIPELINES / "reference.toml"


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.toml")), ids=lambda p: p.name)
def test_every_pipeline_file_loads(path: Path) -> None:
    load(path, PipelineSettings)


def test_the_reference_shows_every_setting() -> None:
    shown = tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", REFERENCE.read_text("utf-8")))
    for name, field in PipelineSettings.model_fields.items():
        assert name in shown
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Settings):
            assert shown[name].keys() == group.model_fields.keys()
    assert shown["serve"].keys() == {"listen", "max_viewers"}


def test_what_the_reference_gives_are_the_defaults() -> None:
    reference = load(REFERENCE, PipelineSettings)
    assert reference.serve is not None
    plain = parse({"input": {"url": "demo"}, "serve": {}}, PipelineSettings, "here")
    assert reference == plain


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("input.transport=sctp", "input.transport: got 'sctp'"),
        ("encoder.crf=99", "encoder.crf: got 99"),
        ("serve.listen=:8080", "HOST:PORT"),
        ("limits.frames=0", "limits.frames: got 0"),
        ("name=a b", "name: got 'a b'"),
        ("model.nmae=x", "did you mean 'name'"),
    ],
)
def test_a_wrong_value_names_its_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(REFERENCE, PipelineSettings, [override])


@pytest.mark.parametrize(
    "path", sorted(PIPELINES.parent.glob("models/*/train.toml")), ids=lambda p: p.parent.name
)
def test_every_training_file_loads(path: Path) -> None:
    settings = load(path, TrainSettings)
    assert settings.name == path.parent.name
