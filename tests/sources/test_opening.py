"""What an address means, and what is said of one that means nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamsr.core.errors import InputError
from streamsr.core.settings import InputSettings
from streamsr.media.addresses import input_kind
from streamsr.media.source import Source
from streamsr.sources.demo import DemoSource
from streamsr.sources.files import FileSource
from streamsr.sources.folder import FolderSource
from streamsr.sources.live import LiveSource
from streamsr.sources.opening import open_source

NOBODY = 65534


def opened(url: str, *, live: bool | None = None) -> Source:
    return open_source(InputSettings(url=url, live=live), lambda event: None)


def said_of(url: str) -> str:
    with pytest.raises(InputError) as caught:
        input_kind(url)
    return str(caught.value)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to look everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_address_names_its_kind_of_source(tmp_path: Path, clip: Callable[..., Path]) -> None:
    assert isinstance(opened("demo"), DemoSource)
    assert isinstance(opened("RTSP://cam/1"), LiveSource)
    assert isinstance(opened("http://cam/film.mp4"), FileSource)
    assert isinstance(opened("http://cam/live", live=True), LiveSource)
    assert isinstance(opened(str(clip(seconds=0.2))), FileSource)
    assert isinstance(opened(str(tmp_path)), FolderSource)
    assert isinstance(opened("-"), FileSource)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rtsp://[::1", "allowed is SCHEME://HOST:PORT/PATH"),
        ("rtsp://u:hunter22@[::1", "allowed is SCHEME://HOST:PORT/PATH"),
        ("http://u:hunter22@\u2100/", "allowed is SCHEME://HOST:PORT/PATH"),
        ("rtps://user:it's-hunter22@h", "input rtps://***@h: got the scheme 'rtps'"),
        ("user:hunter22@cam/x", "input ***@cam/x: there is no such file or folder"),
        ("x" * 300, "cannot be opened: File name too long"),
        ("x/" * 3000, "cannot be opened: File name too long"),
        ("a\0b", "there is no such file or folder"),
    ],
)
def test_what_is_no_address_is_an_input_error(url: str, words: str) -> None:
    said = said_of(url)
    assert words in said
    assert "hunter22" not in said


def test_a_folder_one_may_not_look_into_is_an_input_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    with as_nobody():
        said = said_of(str(closed / "film.mp4"))
    closed.chmod(0o700)
    assert "cannot be opened: Permission denied" in said
