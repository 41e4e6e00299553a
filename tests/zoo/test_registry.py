"""Finding models by name, in the order of their folders."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from model_folders import edit, model

from streamsr.core.errors import ModelError
from streamsr.zoo.card import CARD_NAME
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import find, listing

CPU = torch.device("cpu")


def test_finding_models_needs_neither_torch_nor_numpy() -> None:
    script = "import sys, streamsr.zoo.registry as r; r.listing(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert not {b"torch", b"numpy"} & set(loaded.stdout.split())


def test_the_models_that_come_along_are_found() -> None:
    assert {"bicubic", "fast", "lanczos"} <= listing().keys()
    assert find("bicubic").facts.scale == 4


def test_a_folder_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path / "flag" / "bicubic", description="by the flag")
    model(tmp_path / "flag" / "mine", description="by the flag")
    model(tmp_path / "environment" / "bicubic", description="by the environment")
    model(tmp_path / "environment" / "other", description="by the environment")
    monkeypatch.setenv("STREAMSR_MODELS", str(tmp_path / "environment"))
    assert find("bicubic").card.description == "by the environment"
    assert find("bicubic", [tmp_path / "flag"]).card.description == "by the flag"
    assert find("other", [tmp_path / "flag"]).folder == tmp_path / "environment" / "other"
    found = listing([tmp_path / "flag"])
    assert {"bicubic", "mine", "other", "lanczos"} <= found.keys()
    assert found["bicubic"].card.description == "by the flag"


def test_a_path_names_a_model_as_well(tmp_path: Path) -> None:
    folder = model(tmp_path / "apart" / "mine")
    entry = find(str(folder))
    assert (entry.name, entry.folder) == ("mine", folder)
    assert load_model(entry, CPU).facts == entry.facts


def test_a_name_that_is_none_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got 'bicubik' \(did you mean 'bicubic'\?\), allowed"):
        find("bicubik")
    with pytest.raises(ModelError, match="allowed are bicubic, fast"):
        find("xyzzy")
    with pytest.raises(ModelError, match=r"nowhere.*no card\.toml"):
        find(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="there is no such folder"):
        find("bicubic", [tmp_path / "nowhere"])


def test_a_damaged_card_is_named_and_hides_no_other_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "broken")
    (folder / CARD_NAME).write_text("description = ", encoding="utf-8")
    model(tmp_path / "whole")
    with pytest.raises(ModelError, match=r"broken/card\.toml: cannot be read as TOML"):
        find("broken", [tmp_path])
    with pytest.raises(ModelError, match=r"broken/card\.toml"):
        listing([tmp_path])
    assert find("whole", [tmp_path]).name == "whole"


@pytest.mark.parametrize("lookahead", [1, 2])
def test_a_lookahead_beyond_the_window_is_a_fault_of_the_card(
    tmp_path: Path, lookahead: int
) -> None:
    folder = model(tmp_path / "mine")
    edit(folder, "lookahead = 0", f"lookahead = {lookahead}")
    with pytest.raises(ModelError, match=r"card\.toml.*lookahead: got"):
        find(str(folder))
