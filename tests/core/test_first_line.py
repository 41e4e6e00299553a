"""One secret in a file: its first line, of a regular file, read without waiting."""

import os
from pathlib import Path

import pytest

from streamsr.core.errors import ConfigError
from streamsr.core.first_line import MOST_BYTES, first_line, first_line_bytes


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"word", "word"),
        (b"word\n", "word"),
        (b"word\r\nmore\n", "word"),
        (b" a word \n", " a word "),
        (b"x" * MOST_BYTES + b"\r\nmore", "x" * MOST_BYTES),
    ],
)
def test_the_line_without_its_end(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    (tmp_path / "link").symlink_to(path)
    assert first_line(tmp_path / "link", "here") == line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "got 0 bytes"),
        (b"\nword", "got 0 bytes"),
        (b" \r\nword", "got 0 bytes"),
        (b"x" * (MOST_BYTES + 1), "allowed are 1 to"),
        (b"x" * 3_000_000, "allowed are 1 to"),
        (b"caf\xe9", "not UTF-8"),
    ],
)
def test_a_line_that_is_none(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^here.*{words}"):
        first_line(path, "here")


def test_bytes_are_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"caf\xe9\n")
    assert first_line_bytes(path, "here") == b"caf\xe9"


@pytest.mark.timeout(10)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/ptmx"), Path("/dev/zero")):
        with pytest.raises(ConfigError, match="here: it is no file, but a pipe"):
            first_line(path, "here")
    for path, words in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a dir"),
        (Path("a\0b"), "no name of a file"),
    ):
        with pytest.raises(ConfigError, match=f"here cannot be read: .*{words}"):
            first_line(path, "here")
