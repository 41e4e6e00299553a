"""Which outputs files and folders become: each its own, whatever their names."""

from pathlib import Path

import pytest

from streamsr.core.errors import InputError, OutputError
from streamsr.files.plan import planned


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def outputs(*inputs: Path, out: Path, **more: object) -> dict[str, str]:
    plan = planned(inputs, out, **more)  # type: ignore[arg-type]
    return {str(job.source): str(job.output) for job in plan.jobs}


def test_what_is_below_a_folder_keeps_its_place(tmp_path: Path) -> None:
    videos = made(tmp_path / "in", "b.mp4", "a.avi", "sub/deep er/c.MKV", "sub/d.mov")
    plan = planned([videos], tmp_path / "out")
    found = [str(job.output) for job in plan.jobs]
    assert found == ["a.mp4", "b.mp4", "sub/d.mov", "sub/deep er/c.mkv"]
    assert plan.left_out == []


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    made(tmp_path, "a/x.mp4", "b/x.mp4", "b/y.mp4", "c/a/x.mp4", "one/z.mp4", "one/z.avi")
    out = tmp_path / "out"
    found = outputs(tmp_path / "a/x.mp4", tmp_path / "b/x.mp4", tmp_path / "b/y.mp4", out=out)
    assert [*found.values()] == ["a/x.mp4", "b/x.mp4", "y.mp4"]
    found = outputs(tmp_path / "a", tmp_path / "c/a", out=out)
    assert len({*found.values()}) == 2
    found = outputs(tmp_path / "one", out=out)
    assert [*found.values()] == ["z.avi.mp4", "z.mp4"]


def test_names_that_differ_in_case_alone_are_equal_on_some_disks(tmp_path: Path) -> None:
    made(tmp_path, "a/x.mp4", "b/X.mp4")
    found = outputs(tmp_path / "a/x.mp4", tmp_path / "b/X.mp4", out=tmp_path / "out")
    assert [*found.values()] == ["a/x.mp4", "b/X.mp4"]


def test_a_source_keeps_the_output_that_it_had(tmp_path: Path) -> None:
    made(tmp_path, "a/x.mp4", "b/x.mp4")
    known = {str(tmp_path / "a/x.mp4"): "x.mp4"}
    found = outputs(tmp_path / "b/x.mp4", tmp_path / "a/x.mp4", out=tmp_path / "out", known=known)
    assert found == {
        str(tmp_path / "b/x.mp4"): "b/x.mp4",
        str(tmp_path / "a/x.mp4"): "x.mp4",
    }


def test_a_source_that_is_named_twice_is_one(tmp_path: Path) -> None:
    made(tmp_path, "a/x.mp4")
    assert len(outputs(tmp_path / "a", tmp_path / "a/x.mp4", out=tmp_path / "out")) == 1


def test_images_are_a_folder_and_what_is_no_media_is_said(tmp_path: Path) -> None:
    names = "film.mp4", "cover.jpg", "shots/1.png", "shots/2.png", ".hidden.mp4", "notes.txt"
    videos = made(tmp_path / "in", *names, ".git/x.mp4", "half.mp4.partial/video.packets")
    plan = planned([videos], tmp_path / "out")
    assert [(str(job.output), job.is_images) for job in plan.jobs] == [
        ("film.mp4", False),
        ("shots", True),
    ]
    told = "\n".join(plan.left_out)
    for name in ("cover.jpg: an image beside", ".hidden.mp4: hidden", ".git: hidden", "notes.txt"):
        assert name in told


def test_outputs_below_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    videos = made(tmp_path / "in", "a.mp4", "up/a.mp4")
    assert [*outputs(videos, out=videos / "up").values()] == ["a.mp4"]


def test_a_source_is_not_overwritten(tmp_path: Path) -> None:
    videos = made(tmp_path / "in", "a.mp4")
    with pytest.raises(OutputError, match="overwritten"):
        planned([videos], videos)


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        planned([tmp_path / "none.mp4"], tmp_path / "out")


def test_what_was_made_of_another_is_no_source(tmp_path: Path) -> None:
    folder = made(tmp_path / "in", "b.avi", "b.mp4", "c.mkv")
    known = {str(folder / "b.avi"): "b.mp4"}
    plan = planned([folder, folder / "b.mp4"], folder, ".mp4", known)
    assert [str(job.output) for job in plan.jobs] == ["b.mp4", "c.mp4"]
    assert plan.left_out == [f"{folder}/b.mp4: it is the output of another"]


def test_a_folder_that_is_called_as_if_half_done_is_searched(tmp_path: Path) -> None:
    folder = made(tmp_path / "in", "x.mp4.partial/video.packets", "x.mp4.partial/images/a.mp4")
    made(folder, "mine.partial/b.mp4")
    assert [*outputs(folder, out=tmp_path / "out").values()] == ["mine.partial/b.mp4"]
