"""Edits in the node's own file: only what changed is written, and only what can be read."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamsr.core.config import load
from streamsr.core.errors import UserError
from streamsr.core.files import write_whole
from streamsr.core.settings import NodeSettings, StreamSettings
from streamsr.node import cameras_file
from streamsr.node.cameras_file import CamerasFile

TEXT = """\
# at home
name = "home"  # of the node

[[streams]]
name = "gate"  # by the road
input.url = "rtsp://u:${GATE_PASSWORD}@10.0.0.1/x"
# the quick one
model = { name = "bicubic", device = "cpu" }

[[streams.publish]]
url = "rtsp://u:${GATE_PASSWORD}@10.0.0.2/up"  # for the recorder

[[streams]]
name = "yard"
enabled = false
[streams.input]
url = "demo"
[streams.record]
folder = "rec"
keep_days = 14.0  # two weeks
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE_PASSWORD", "opensesame")
    found = tmp_path / "home.toml"
    found.write_text(TEXT, encoding="utf-8")
    found.chmod(0o640)
    return found


def stream(path: Path, name: str) -> StreamSettings:
    return next(s for s in load(path, NodeSettings).streams if s.name == name)


def changed(before: StreamSettings, **groups: dict[str, Any]) -> StreamSettings:
    new = {name: getattr(before, name).model_copy(update=values) for name, values in groups.items()}
    return before.model_copy(update=new)


def test_one_value_is_changed_and_all_else_stays_as_it_was(path: Path) -> None:
    before = stream(path, "yard")
    CamerasFile(path).keep(before, before.model_copy(update={"enabled": True}))
    assert path.read_text() == TEXT.replace("enabled = false", "enabled = true")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == ["home.toml"]


@pytest.mark.parametrize("mounted", [False, True], ids=["replaced", "in place"])
@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("rtsp://u:opensesame@10.0.0.9/x", 0o640),
        ("rtmp://10.0.0.9/live/k3yOfMine", 0o640),
        ("rtsp://10.0.0.9/x", 0o644),
        ("demo", 0o644),
    ],
)
def test_a_file_that_gets_a_password_is_not_for_all_to_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, url: str, mode: int, mounted: bool
) -> None:
    path.chmod(0o644)
    yard = stream(path, "yard")
    file = CamerasFile(path)
    if mounted:
        monkeypatch.setattr(cameras_file, "write_whole", whole_but(path))
    file.keep(yard, changed(yard, input={"url": url}))
    assert stream(path, "yard").input.url == url
    assert stat.S_IMODE(path.stat().st_mode) == mode


def whole_but(mounted: Path) -> Callable[..., None]:
    """``write_whole``, where one file cannot be replaced."""

    def write(written: Path, data: bytes, mode: int) -> None:
        if written == mounted:
            raise OSError(errno.EBUSY, "busy")
        write_whole(written, data, mode)

    return write


def test_values_are_added_and_taken_back_beside_comments(path: Path) -> None:
    before, file = stream(path, "yard"), CamerasFile(path)
    after = changed(before, output={"size": "720p"}, record={"keep_days": None, "segment_s": 60.0})
    file.keep(before, after)
    assert stream(path, "yard") == after
    file.keep(after, before)
    assert stream(path, "yard") == before
    assert "# by the road" in path.read_text()


def test_what_the_environment_holds_does_not_get_into_the_file(path: Path) -> None:
    before, file = stream(path, "gate"), CamerasFile(path)
    more = before.publish[0].model_copy(update={"url": "rtsp://10.0.0.3/up"})
    after = changed(before, model={"name": "lanczos"}).model_copy(
        update={"publish": (*before.publish, more)}
    )
    file.keep(before, after)
    assert stream(path, "gate") == after
    text = path.read_text()
    assert "opensesame" not in text
    assert text.count("${GATE_PASSWORD}") == 2
    assert "# for the recorder" in text
    assert "# the quick one" in text


def test_cameras_are_added_and_removed(path: Path) -> None:
    file = CamerasFile(path)
    added = StreamSettings.model_validate(
        {"name": "new", "input": {"url": "demo"}, "publish": [{"url": "rtsp://10.0.0.3/up"}]}
    )
    file.keep(None, added)
    assert [s.name for s in load(path, NodeSettings).streams] == ["gate", "yard", "new"]
    assert stream(path, "new") == added
    file.keep(stream(path, "gate"), None)
    assert [s.name for s in load(path, NodeSettings).streams] == ["yard", "new"]
    file.keep(added, None)
    assert [s.name for s in load(path, NodeSettings).streams] == ["yard"]


@pytest.mark.parametrize(
    "text",
    [
        'streams = [{ name = "yard", input = { url = "demo" } }, { input.url = "demo" }]\n',
        '[[streams]]\nname = "yard"\ninput.url = "demo"\n[[streams]]\n[streams.input]\nurl="demo"',
    ],
)
def test_however_streams_are_written(path: Path, text: str) -> None:
    path.write_text(text)
    file, before = CamerasFile(path), stream(path, "stream")  # the name of what has none
    after = changed(before, output={"size": "720p"})
    file.keep(before, after)
    assert stream(path, "stream") == after
    file.keep(None, after.model_copy(update={"name": "new"}))
    file.keep(stream(path, "yard"), None)
    assert [s.name for s in load(path, NodeSettings).streams] == ["stream", "new"]


def test_what_the_command_line_lays_over_stays_out_of_the_file(path: Path) -> None:
    overrides = ['name="other"']
    before, file = stream(path, "yard"), CamerasFile(path, overrides)
    file.keep(before, before.model_copy(update={"enabled": True}))
    assert path.read_text() == TEXT.replace("enabled = false", "enabled = true")


def test_nothing_is_written_that_would_not_be_read(path: Path) -> None:
    before, file = stream(path, "yard"), CamerasFile(path)
    path.write_text(TEXT.replace('name = "home"', 'nonsense = "home"'))
    with pytest.raises(UserError, match="nothing was written"):
        file.keep(before, before.model_copy(update={"enabled": True}))
    path.write_text(TEXT.replace('name = "yard"', 'name = "other"'))
    with pytest.raises(UserError, match="cannot be edited"):
        file.keep(before, before.model_copy(update={"enabled": True}))
    path.write_text("[[")
    with pytest.raises(UserError, match="cannot be edited"):
        file.keep(before, None)
    assert path.read_text() == "[["


def test_what_it_wrote_itself_is_known_and_what_others_wrote_is_read_again(path: Path) -> None:
    before, file = stream(path, "yard"), CamerasFile(path)
    after = before.model_copy(update={"enabled": True})
    file.keep(before, after)
    assert file.written_ns == path.stat().st_mtime_ns
    path.write_text(path.read_text().replace("keep_days = 14.0", "keep_days = 7.0"))
    os.utime(path, ns=(0, 12345))
    edited = changed(after, record={"keep_days": 7.0})
    file.keep(edited, edited.model_copy(update={"enabled": False}))
    assert file.written_ns != path.stat().st_mtime_ns


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    before = stream(path, "yard")
    CamerasFile(link).keep(before, before.model_copy(update={"enabled": True}))
    assert link.is_symlink()
    assert "enabled = true" in path.read_text()
