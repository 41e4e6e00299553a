"""What an address means, and what is said of one that means nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from streamsr.core.errors import InputError
from streamsr.core.redact import SecretAddress
from streamsr.core.settings import InputSettings
from streamsr.media.addresses import input_kind
from streamsr.media.source import MediaSource
from streamsr.sources.containers import demuxed
from streamsr.sources.demo import DemoSource
from streamsr.sources.files import FileSource
from streamsr.sources.folder import FolderSource
from streamsr.sources.live import LiveSource
from streamsr.sources.opening import open_source

NOBODY = 65534


def opened(url: str, *, live: bool | None = None) -> MediaSource:
    return open_source(InputSettings(url=url, live=live), lambda event: None)


def said_of(url: str) -> str:
    with pytest.raises(InputError) as caught:
        input_kind(SecretAddress(url))
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


def test_streams_that_begin_in_mid_file_are_no_error(tmp_path: Path) -> None:
    """PyAV does not know them, and raises IndexError at the end."""
    parts = []
    for number, pid in enumerate(("256", "512")):
        parts.append(tmp_path / f"{number}.ts")
        with av.open(
            parts[-1],
            "w",
            options={"mpegts_start_pid": pid, "mpegts_pmt_start_pid": str(4096 + number)},
        ) as out:
            video = out.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for pts in range(200):
                image = av.VideoFrame(64, 48, "yuv420p")
                image.pts = pts
                out.mux(video.encode(image))
            out.mux(video.encode(None))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(joined, options={"probesize": "5000"}) as container:
        (known,) = container.streams.video
        assert sum(packet.size > 0 for packet in demuxed(container, [known])) == 200
