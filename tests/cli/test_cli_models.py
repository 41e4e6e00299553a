"""``models``: what there is, and a checkpoint that becomes one more."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamsr.core.config import dump
from streamsr.zoo.card import CARD_NAME
from streamsr.zoo.registry import find

if TYPE_CHECKING:
    from conftest import Streamsr


def add_member(folder: Path, like: str, **changes: object) -> None:
    """A copy of a shipped model, its card changed."""
    entry = find(like)
    shutil.copytree(entry.folder, folder)
    dump(entry.card.model_copy(update=changes), folder / CARD_NAME)


def test_models_are_listed_by_family(
    tmp_path: Path, streamsr: "Streamsr", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    facts = find("fast-small").card.facts
    for name, scale in (("quick", 4), ("quick-x2", 2), ("odd", 3), ("mine", 4)):
        changed = facts.model_copy(update={"scale": scale})
        add_member(tmp_path / name, "fast-small", family="quick", facts=changed)
    text = streamsr("models", "list", "--models", tmp_path).stdout
    lines = {line.split()[0]: " ".join(line.split()) for line in text.splitlines()}
    assert lines["quick"].startswith("quick 2, 3 (odd), 4 (mine) int8 Luma")
    assert lines[str(tmp_path / "quick")].startswith(f"{tmp_path / 'quick'} 4 int8"), "not taken"
    assert lines["bicubic"].startswith("bicubic any")
    assert lines["none"].startswith("none 1")


def test_models_are_listed_for_programs(streamsr: "Streamsr") -> None:
    listed = {model["name"]: model for model in json.loads(streamsr("models", "--json").stdout)}
    assert listed["fast"]["family"] == "fast"
    assert listed["fast"]["recipe"] is None
    again = json.loads(streamsr("models", "list", "--json").stdout)
    assert again == list(listed.values())


def test_what_is_not_trained_yet_is_listed_with_the_command_that_does_it(
    tmp_path: Path, streamsr: "Streamsr", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    (tmp_path / "my models" / "planned").mkdir(parents=True)
    shutil.copy(find("fast").folder / "train.toml", tmp_path / "my models" / "planned")
    arguments = ("models", "list", "--models", tmp_path / "my models")
    command = f"streamsr train '{tmp_path}/my models/planned/train.toml'"
    assert f"$ {command}" in streamsr(*arguments).stdout.splitlines()  # whole, however narrow
    listed = json.loads(streamsr(*arguments, "--json").stdout)
    (planned,) = [model for model in listed if model["recipe"] and "my models" in model["recipe"]]
    assert planned["recipe"] == command
    done = streamsr("models", "info", "planned", "--models", tmp_path / "my models")
    assert (done.exit_code, command in done.stderr) == (2, True)


def test_a_card_is_shown(streamsr: "Streamsr") -> None:
    card = json.loads(streamsr("models", "info", "fast", "--json").stdout)
    text = streamsr("models", "info", "fast").stdout
    assert card["weights"]["sha256"][:16] in text
    assert "x4, " in text
    assert card["members"]["4"] == "fast"


def test_a_member_is_shown_by_its_number(streamsr: "Streamsr") -> None:
    card = json.loads(streamsr("models", "info", "bicubic-x3", "--json").stdout)
    assert (card["name"], card["facts"]["scale"]) == ("bicubic", 3)
    done = streamsr("models", "info", "none-x3")
    assert (done.exit_code, "family 'none' has members of scale 1" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pth", b"PK\x03\x04 no archive", "got 15 bytes, allowed is what torch.save"),
        ("a.pth", b"\x80\x02 no pickle", "nothing of it was run"),
        ("a.safetensors", b"noise", "is damaged, or no checkpoint"),
        ("a.pth", b"<!DOCTYPE html><html>", "a.pth: is a web page: the file itself was not"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    tmp_path: Path, streamsr: "Streamsr", name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = streamsr("models", "import", tmp_path / name, "--name", "x", "--into", tmp_path)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "x").exists()


def test_upscale_computes_in_what_is_asked_for(
    tmp_path: Path, clip: Callable[..., Path], streamsr: "Streamsr"
) -> None:
    asked = ("--model", "fast-small", "--scale", "2", "--frames", "2", "--json")
    made = streamsr("upscale", clip(), tmp_path / "a.mp4", *asked, "--precision", "float32")
    assert json.loads(made.stdout)["streams"][0]["precision"] == "float32"
    refused = streamsr("upscale", clip(), tmp_path / "b.mp4", *asked, "--precision", "float16")
    assert refused.exit_code == 2
    assert "float16" in refused.stderr
