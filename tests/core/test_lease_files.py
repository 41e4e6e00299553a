"""The file that says until when a camera may be published."""

import shutil
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


def test_a_file_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    folder = LeaseFolder.made(tmp_path / "leases")
    folder.grant("cam", now_ns() + SECOND_NS)
    before = Lease(folder.path_of("cam"))
    shutil.rmtree(folder.folder)
    folder.grant("cam", now_ns() + SECOND_NS)
    again = Lease(LeaseFolder(folder.folder).path_of("cam"))
    assert before.holds(), "who runs goes on"
    assert again.holds(), "who starts may"
    folder.end("cam")
    assert not before.holds()
    assert not again.holds()


def test_a_file_that_another_put_in_its_place_is_granted_too(tmp_path: Path) -> None:
    folder = LeaseFolder.made(tmp_path / "leases")
    folder.grant("cam", now_ns() + SECOND_NS)
    folder.path_of("cam").unlink()
    reader = Lease(LeaseFolder(folder.folder).path_of("cam"))
    assert not reader.holds()
    folder.grant("cam", now_ns() + SECOND_NS)
    assert reader.holds()


def test_a_lease_that_cannot_be_made_harms_no_other(tmp_path: Path) -> None:
    folder = LeaseFolder.made(tmp_path / "leases")
    folder.grant("a", now_ns() - 1)
    reader = Lease(folder.path_of("a"))
    shutil.rmtree(folder.folder)
    folder.folder.write_text("a file is where the folder was")
    with pytest.raises(OSError, match="leases"):
        folder.grant("a", now_ns() + SECOND_NS)
    assert reader.holds(), "who runs goes on"
    assert folder.path_of("b").name == "b.lease", "that who opens it meets the fault"


def test_what_is_no_lease_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"")
    for name in ("short", "missing"):
        with pytest.raises(OSError, match=name):
            Lease(tmp_path / name)
