"""Tokens: where they come from, and which are none."""

from base64 import b64encode
from pathlib import Path

import pytest

from streamsr.core.errors import ConfigError
from streamsr.core.redact import redact
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.tokens import Token, presented_token, read_tokens

TOKEN = "p@ss/w%rd:#1-of-a-viewer"


@pytest.fixture(autouse=True)
def no_token_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMSR_TOKEN", raising=False)


def test_no_token() -> None:
    assert read_tokens(ServeSettings()) == ()


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nand a remark\n"])
def test_a_token_is_the_first_line_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", "another-token-of-the-environment")
    path = tmp_path / "token"
    path.write_bytes((TOKEN + ending).encode())
    assert [t.secret for t in read_tokens(ServeSettings(token_file=path))] == [TOKEN]
    assert redact(f"got {TOKEN}") == "got ***"


def test_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", TOKEN)
    assert [t.secret for t in read_tokens(ServeSettings())] == [TOKEN]


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "0 characters"),
        ("fifteen-letters", "15 characters, allowed are 16 and more"),
        ("a token with spaces", "ASCII"),
        ("ein-schlüssel-mit-umlaut", "ASCII"),
        ("a-token-with-a-\x07-bell", "ASCII"),
    ],
)
def test_a_token_that_is_none(monkeypatch: pytest.MonkeyPatch, token: str, words: str) -> None:
    monkeypatch.setenv("STREAMSR_TOKEN", token)
    with pytest.raises(ConfigError, match=f"STREAMSR_TOKEN.*{words}") as caught:
        read_tokens(ServeSettings())
    assert not token or token not in str(caught.value)
    with pytest.raises(ConfigError, match=words):
        Token("wall", "view", token)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serve\.token_file .*/no cannot be read: No such file"):
        read_tokens(ServeSettings(token_file=tmp_path / "no"))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (f"Bearer {TOKEN}", TOKEN),
        (f"bearer  {TOKEN} ", TOKEN),
        ("Basic " + b64encode(f"anyone:{TOKEN}".encode()).decode(), TOKEN),
        ("BASIC " + b64encode(f":{TOKEN}".encode()).decode(), TOKEN),
        ("Basic " + b64encode(TOKEN.encode()).decode(), TOKEN.partition(":")[2]),
        ("Basic \xff", None),
        ("Basic not-base-64", None),
        ("Basic " + b64encode(b"\xff\xfe").decode(), None),
        ("Digest x", None),
        (TOKEN, None),
        ("", None),
    ],
)
def test_what_is_in_the_header(header: str, token: str | None) -> None:
    assert presented_token(header) == token
