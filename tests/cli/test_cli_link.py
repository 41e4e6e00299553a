"""``streamsr link``: addresses with a token in them."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Streamsr

TOKEN = "the-token-of-who-controls"
NODE = '[[streams]]\nname = "gate"\ninput.url = "demo"\n'
PIPELINE = 'name = "gate"\ninput.url = "demo"\n'


def write(folder: Path, serve: str, rest: str = NODE) -> Path:
    (folder / "token").write_text(TOKEN)
    (folder / "wall").write_text("the-token-of-the-wall")
    path = folder / "node.toml"
    path.write_text(f"{serve}\n{rest}" if rest is NODE else f"{rest}\n{serve}")
    return path


@pytest.mark.parametrize("rest", [NODE, PIPELINE], ids=["node", "pipeline"])
def test_a_link_is_made_of_the_token_of_a_file(
    tmp_path: Path, streamsr: "Streamsr", rest: str
) -> None:
    serve = (
        f'[serve]\nlisten = "127.0.0.1:9000"\nbase_path = "/up"\ntoken_file = "{tmp_path}/token"'
    )
    path = write(tmp_path, serve, rest)
    done = streamsr("link", path, "/hls/gate/index.m3u8", "--hours", "2")
    assert done.exit_code == 0
    form = r"http://127\.0\.0\.1:9000/up/hls/gate/index\.m3u8\?token=[0-9a-f]{8}\.[\w-]{22}\n"
    assert re.fullmatch(form, done.stdout)
    assert "UTC, for /hls/gate and what is below" in done.stderr
    assert TOKEN not in done.output
    at = "https://home.example/video/"
    done = streamsr("link", path, "/snapshot/gate.jpg", "--at", at, "--json")
    link = json.loads(done.stdout)
    assert link["address"].startswith("https://home.example/video/snapshot/gate.jpg?token=")
    assert link["expires"].endswith("Z")


@pytest.mark.parametrize(
    ("serve", "path", "words"),
    [
        ('[serve]\ntoken_file = "{}/token"', "/whep/gate", "PATH: got '/whep/gate', allowed are"),
        ("[serve]", "/hls/gate", "it has no token of the role control"),
        (
            '[serve]\ntokens = [{{ name = "wall", role = "view", file = "{}/wall" }}]',
            "/hls/gate",
            "it has no token of the role control",
        ),
        ("", "/hls/gate", "it has no [serve]"),
        ("[serve", "/hls/gate", "cannot be read as TOML"),
    ],
)
def test_a_link_that_cannot_be_made(
    tmp_path: Path,
    streamsr: "Streamsr",
    monkeypatch: pytest.MonkeyPatch,
    serve: str,
    path: str,
    words: str,
) -> None:
    monkeypatch.delenv("STREAMSR_TOKEN", raising=False)
    done = streamsr("link", write(tmp_path, serve.format(tmp_path)), path)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
