"""A file that is there whole or not at all."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from peers.full_disk import full_after

from streamsr.core.errors import OutputError
from streamsr.core.files import PRIVATE, whole_file, write_whole
from streamsr.train.whole_file import whole_file as file_of_training


def test_it_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a b.bin"
    path.write_bytes(b"before")
    with whole_file(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert [*tmp_path.iterdir()] == [path]


def test_of_what_does_not_fit_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    with full_after(100), pytest.raises(OSError, match="File too large"):
        write_whole(path, bytes(200_000))
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(OSError, match="No such file"), whole_file(tmp_path / "no" / "a"):
        pass


def test_training_says_what_cannot_be_written(tmp_path: Path) -> None:
    with (
        full_after(100),
        pytest.raises(OutputError, match=r"a\.bin: cannot be written: File too large"),
        file_of_training(tmp_path / "a.bin") as file,
    ):
        file.write(bytes(200_000))
    assert [*tmp_path.iterdir()] == []


def test_a_secret_is_its_owner_s_from_the_first_byte_on(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    with whole_file(path, PRIVATE) as file:
        file.write(b"secret")
        (written,) = tmp_path.iterdir()
        assert stat.S_IMODE(written.stat().st_mode) == PRIVATE
    assert stat.S_IMODE(path.stat().st_mode) == PRIVATE


def test_many_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    texts = [bytes([n]) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda text: write_whole(path, text, synced=False), texts * 5):
            assert path.read_bytes() in texts
    assert [*tmp_path.iterdir()] == [path]
