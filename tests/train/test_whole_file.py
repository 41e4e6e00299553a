"""A file that is there whole or not at all."""

from pathlib import Path

import pytest
from full_disk import full_after

from streamsr.core.errors import OutputError
from streamsr.train.whole_file import whole_file


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
    with (
        full_after(100),
        pytest.raises(OutputError, match=r"a\.bin: cannot be written: File too large"),
        whole_file(path) as file,
    ):
        file.write(bytes(200_000))
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(OutputError, match="No such file"), whole_file(tmp_path / "no" / "a"):
        pass
