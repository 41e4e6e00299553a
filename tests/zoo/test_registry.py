"""Finding models by name, in the order of their folders."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from model_folders import edit, member, model

from streamsr.core.errors import ModelError
from streamsr.zoo.card import CARD_NAME
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import (
    families,
    find,
    folder_of_new,
    lighter_of,
    listing,
    members,
    recipes,
)

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
    with pytest.raises(ModelError, match=r"nowhere.*no such folder"):
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


def family(places: Path, name: str, scales: tuple[int, ...], lighter: str | None = None) -> None:
    """Members called NAME, of scale 4, and NAME-xN."""
    for scale in scales:
        folder = places / (name if scale == 4 else f"{name}-x{scale}")
        member(folder, name, scale, lighter)


def test_a_family_has_members_by_scale(tmp_path: Path) -> None:
    family(tmp_path, "quick", (4, 3, 2))
    found = members("quick", [tmp_path])
    assert {scale: entry.name for scale, entry in found.items()} == {
        2: "quick-x2",
        3: "quick-x3",
        4: "quick",
    }
    assert families([tmp_path])["quick"] == found
    assert find("quick", [tmp_path]) == found[4]
    assert [find("quick", [tmp_path], scale) for scale in (2, 3, 4)] == [*map(found.get, (2, 3, 4))]
    with pytest.raises(ModelError) as caught:
        find("quick", [tmp_path], 1)
    assert str(caught.value) == "family 'quick' has members of scale 2, 3 and 4: got scale 1"


def test_without_a_member_of_scale_4_the_largest_is_meant(tmp_path: Path) -> None:
    family(tmp_path, "quick", (1, 3, 2))
    assert find("quick", [tmp_path]).facts.scale == 3


def test_a_member_may_be_named(tmp_path: Path) -> None:
    family(tmp_path, "quick", (4, 2))
    member(tmp_path / "odd-name", "quick", 3)
    for name, scale in (("quick-x2", 2), ("quick-x3", 3), ("quick-x4", 4), ("odd-name", 3)):
        (entry,) = members(name, [tmp_path]).values()
        assert entry == find(name, [tmp_path]) == members("quick", [tmp_path])[scale]
    with pytest.raises(ModelError, match="family 'quick' has members of scale 2, 3 and 4: got sca"):
        find("quick-x1", [tmp_path])
    with pytest.raises(ModelError, match="model 'quick-x2' is of scale 2: got scale 4"):
        find("quick-x2", [tmp_path], 4)
    with pytest.raises(ModelError, match=r"got 'quik-x2'.*did you mean 'quick-x2'"):
        find("quik-x2", [tmp_path])


def test_a_folder_comes_before_a_number_and_a_family_before_a_folder(tmp_path: Path) -> None:
    family(tmp_path, "quick", (2,))
    member(tmp_path / "quick-x4", "other", 3)
    member(tmp_path / "quick", "other", 4)
    assert find("quick-x4", [tmp_path]).facts.scale == 3
    assert find("quick", [tmp_path]).name == "quick-x2"
    assert find("other-x4", [tmp_path]).name == "quick"


def test_of_two_members_of_one_scale_the_first_folder_counts(tmp_path: Path) -> None:
    member(tmp_path / "one" / "mine", "fast", 4)
    member(tmp_path / "two" / "fast", "fast", 4)
    assert find("fast", [tmp_path / "one", tmp_path / "two"]).name == "mine"
    assert find("fast", [tmp_path / "two", tmp_path / "one"]).folder == tmp_path / "two" / "fast"


def test_a_path_is_one_model_and_no_family(tmp_path: Path) -> None:
    family(tmp_path, "quick", (4, 2))
    path = str(tmp_path / "quick")
    assert members(path, [tmp_path]).keys() == {4}
    with pytest.raises(ModelError, match=r"quick' is of scale 4: got scale 2"):
        find(path, [tmp_path], 2)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_filter_serves_every_scale(scale: int) -> None:
    entry = find("bicubic", scale=scale)
    assert (entry.name, entry.facts.scale) == ("bicubic", scale)
    frame = torch.rand(1, 1, 16, 16)
    ((_, output),) = load_model(entry, CPU).step(frame, load_model(entry, CPU).start(1, 16, 16))[0]
    assert output.shape[-2:] == (16 * scale, 16 * scale)
    assert find(f"bicubic-x{scale}") == entry


def test_no_scaling_stays_none() -> None:
    assert find("none").facts.scale == find("none", scale=1).facts.scale == 1
    with pytest.raises(ModelError, match="family 'none' has members of scale 1: got scale 2"):
        find("none", scale=2)


def test_the_lighter_one_is_of_the_same_scale(tmp_path: Path) -> None:
    family(tmp_path, "heavy", (4, 3, 2), lighter="quick")
    family(tmp_path, "quick", (4, 2))
    lighter = {
        scale: lighter_of(entry, [tmp_path])
        for scale, entry in members("heavy", [tmp_path]).items()
    }
    quick = members("quick", [tmp_path])
    assert lighter == {2: quick[2], 3: None, 4: quick[4]}
    assert lighter_of(quick[4], [tmp_path]) is None
    member(tmp_path / "filtered", "filtered", 3, lighter="bicubic")
    assert lighter_of(find("filtered", [tmp_path]), [tmp_path]) == find("bicubic", scale=3)
    member(tmp_path / "lost", "lost", 3, lighter="bicubik")
    with pytest.raises(ModelError, match=r"lost/card\.toml: lighter: .*did you mean 'bicubic'"):
        lighter_of(find("lost", [tmp_path]), [tmp_path])


def test_a_damaged_member_is_not_passed_over(tmp_path: Path) -> None:
    family(tmp_path, "quick", (4, 2))
    (tmp_path / "quick-x2" / CARD_NAME).write_text("description = ", encoding="utf-8")
    with pytest.raises(ModelError, match=r"quick-x2/card\.toml: cannot be read as TOML"):
        members("quick", [tmp_path])


def test_auto_is_no_models_name(tmp_path: Path) -> None:
    folder = model(tmp_path / "auto")
    for name in ("auto", str(folder)):
        with pytest.raises(ModelError, match=r"auto: 'auto' is no model's name"):
            find(name, [tmp_path])
    with pytest.raises(ModelError, match=r"got 'auto', allowed are letters.* but not 'auto'"):
        folder_of_new("auto", tmp_path)


def test_what_is_not_trained_yet_is_a_recipe(tmp_path: Path) -> None:
    for name in ("planned", "done"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.toml").touch()
    model(tmp_path / "elsewhere" / "done")
    found = recipes([tmp_path, tmp_path / "elsewhere"])
    assert found["planned"] == tmp_path / "planned" / "train.toml"
    assert "done" not in found
    assert "fast" not in found
    with pytest.raises(
        ModelError, match=r"'planned': not trained yet: streamsr train .*/train.toml"
    ):
        find("planned", [tmp_path])
