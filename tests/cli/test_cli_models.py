"""``models``: what there is, and a checkpoint that becomes one more."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Streamsr


def test_models_are_listed(streamsr: "Streamsr") -> None:
    listed = json.loads(streamsr("models", "list", "--json").stdout)
    assert {"bicubic", "lanczos", "fast"} <= {model["name"] for model in listed}
    text = streamsr("models", "list").stdout
    assert all(model["name"] in text for model in listed)


def test_a_card_is_shown(streamsr: "Streamsr") -> None:
    card = json.loads(streamsr("models", "info", "fast", "--json").stdout)
    text = streamsr("models", "info", "fast").stdout
    assert card["weights"]["sha256"][:16] in text
    assert "x4, " in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pth", b"PK\x03\x04 no archive", "is damaged, or no checkpoint"),
        ("a.pth", b"\x80\x02 no pickle", "nothing of it was run"),
        ("a.safetensors", b"noise", "is damaged, or no checkpoint"),
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
