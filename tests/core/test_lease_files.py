"""The file that says until when a camera may be published."""

from pathlib import Path

import pytest

from streamsr.core.lease import Lease, LeaseFolder, now_ns

SECOND_NS = 1_000_000_000


def test_a_lease_is_seen_by_who_has_its_file_open(tmp_path: Path) -> None:
    folder = LeaseFolder.made(tmp_path / "leases" / "1")
    reader = Lease(folder.path_of("cam"))
    assert not reader.holds(), "nothing is granted yet"
    folder.grant("cam", now_ns() + SECOND_NS)
    assert reader.holds()
    folder.grant("cam", now_ns() - 1)
    assert not reader.holds(), "it is over by itself"
    folder.grant("cam", now_ns() + SECOND_NS)
    folder.end("cam")
    assert not reader.holds()


@pytest.mark.parametrize("name", ["cam", "front door", "../x", "a/b", "ü", "a.partial"])
def test_each_camera_has_a_lease_of_its_own_inside_the_folder(tmp_path: Path, name: str) -> None:
    folder = LeaseFolder.made(tmp_path / "leases")
    path = folder.path_of(name)
    assert path.parent == tmp_path / "leases"
    folder.grant(name, now_ns() + SECOND_NS)
    assert Lease(folder.path_of(name)).holds(), "asked for again, it is the same"
    assert not Lease(folder.path_of("another")).holds()
    folder.end_all()
    assert not Lease(path).holds()


def test_what_is_no_lease_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"")
    for name in ("short", "missing"):
        with pytest.raises(OSError, match=name):
            Lease(tmp_path / name)
