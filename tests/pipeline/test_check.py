"""What is refused before a process starts: models that there are not."""

import sys
from pathlib import Path
from subprocess import run

import pytest

from streamsr.core.config import dump
from streamsr.core.errors import ModelError
from streamsr.core.settings import StreamSettings
from streamsr.networks.facts import Colour
from streamsr.pipeline.check import check_settings
from streamsr.zoo.card import CARD_NAME, Card, FactsCard


def check(**model: object) -> None:
    settings = {"input": {"url": "demo"}, "model": {"device": "cpu", **model}}
    check_settings(StreamSettings.model_validate(settings))


def test_auto_is_a_stream_s_model_and_no_fallback() -> None:
    check(name="auto")
    check(name="auto", fallback=("fast-small", "bicubic"))
    with pytest.raises(ModelError, match="got 'auto', allowed are bicubic"):
        check(name="fast", fallback=("auto",))


def test_families_members_and_their_numbers_are_models() -> None:
    for name in ("fast", "fast-x4", "bicubic-x3"):
        check(name=name, fallback=(name,))
    with pytest.raises(ModelError, match=r"family 'fast' has members .* got scale 8"):
        check(name="fast-x8")
    with pytest.raises(ModelError, match="got 'bicubik'"):
        check(name="auto", fallback=("bicubik",))


def test_every_members_lighter_one_is_looked_for(tmp_path: Path) -> None:
    for name, scale, lighter in (("quick", 4, "bicubic"), ("quick-x2", 2, "bicubik")):
        (tmp_path / name).mkdir()
        facts = FactsCard(scale=scale, window=1, lookahead=0, colour=Colour.LUMA)
        card = Card(description="", family="quick", network="fast", lighter=lighter, facts=facts)
        dump(card, tmp_path / name / CARD_NAME)
    with pytest.raises(ModelError, match=r"quick-x2/card\.toml: lighter: .*did you mean 'bicubic'"):
        check(name="quick", folders=(tmp_path,))


def test_it_needs_no_torch() -> None:
    script = "import sys, streamsr.pipeline.check; print('torch' in sys.modules)"
    done = run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
