"""What clients may ask of cameras: their settings, and never the machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from streamsr.control.changes import CameraChange, NewCamera, Surroundings, changed, made
from streamsr.control.merge_patch import difference, laid_over
from streamsr.core.config import _group_of, parse
from streamsr.core.errors import ConfigError
from streamsr.core.settings import StreamSettings

RECORDINGS = Path(os.path.abspath("recordings"))
AROUND = Surroundings(("auto", "bicubic", "fast"), frozenset({RECORDINGS}))
GATE = StreamSettings.model_validate(
    {
        "name": "gate",
        "input": {"url": "rtsp://u:secretword@10.0.0.1/x"},
        "model": {"device": "cpu"},
        "output": {"scale": 2.0},
        "record": {"folder": "recordings", "keep_days": 7.0},
    }
)


def after(**asked: Any) -> StreamSettings:
    return changed(GATE, parse(asked, CameraChange, "body"), AROUND)


def new(**asked: Any) -> StreamSettings:
    return made(parse({"name": "new", **asked}, NewCamera, "body"), AROUND)


def test_what_is_left_out_stays() -> None:
    assert after() == GATE
    assert after(enabled=False) == GATE.model_copy(update={"enabled": False})
    assert after(model="fast").model.model_dump() == GATE.model.model_dump() | {"name": "fast"}
    assert after(url="demo").input.url == "demo"
    record = after(recording=False).record
    assert record is not None
    assert (record.enabled, record.keep_days) == (False, 7.0)


def test_a_size_takes_the_place_of_a_scale_and_null_of_both() -> None:
    assert after(size="720p").output.model_dump() == GATE.output.model_dump() | {
        "size": "720p",
        "scale": None,
    }
    assert (after(size=None).output.size, after(size=None).output.scale) == (None, None)
    assert after(settings={"output": {"scale": None}}).output.scale is None


def test_groups_are_laid_over_and_null_takes_back() -> None:
    found = after(settings={"encoder": {"crf": 20}, "record": {"keep_days": None}, "hls": {}})
    assert found.encoder.crf == 20
    assert found.hls is not None
    assert found.record is not None
    assert found.record.keep_days is None
    assert after(settings={"record": None}).record is None
    server = {"url": "rtsp://10.0.0.2/up"}
    assert [p.url for p in after(settings={"publish": [server]}).publish] == [server["url"]]


def test_a_new_camera_is_what_a_file_would_say() -> None:
    folder = {"record": {"folder": str(RECORDINGS / "new")}}
    asked = {"url": "rtsp://10.0.0.3/live", "model": "bicubic", "recording": True}
    found = new(**asked, settings=folder)
    assert (found.name, found.enabled, found.model.name) == ("new", True, "bicubic")
    assert found.record is not None
    assert found.record.enabled


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"url": "/etc/passwd"}, "url: got no address"),
        ({"url": "file:///etc/passwd"}, "url: got no address"),
        ({"url": "concat:/etc/passwd"}, "url: got no address"),
        ({"url": "-"}, "url: got no address"),
        ({"url": "rtsp://evil/${STREAMSR_TOKEN}"}, "variables of the environment"),
        ({"url": "rtsp://***@10.0.0.1/x"}, "secrets are left out"),
        ({"model": "../../weights"}, "model: got '../../weights'"),
        ({"model": "fats"}, "did you mean 'fast'"),
        ({"size": "999999"}, "size: got '999999'"),
        ({"size": "10x10"}, "size"),
        ({"modle": "fast"}, "unknown key 'modle'"),
        ({"settings": {"input": {"url": "/etc/passwd"}}}, "settings.input.url"),
        ({"settings": {"input": {"audio_from": "/etc/passwd"}}}, "settings.input.audio_from"),
        ({"settings": {"input": {"follow": True}}}, "settings.input.follow"),
        ({"settings": {"model": {"folders": ["/tmp"]}}}, "settings.model.folders"),
        ({"settings": {"model": {"name": "/tmp/model"}}}, "model: got '/tmp/model'"),
        ({"settings": {"model": {"fallback": ["/tmp/model"]}}}, "settings.model.fallback: got"),
        ({"settings": {"output": {"overwrite": True}}}, "settings.output.overwrite"),
        ({"settings": {"output": {"path": "/root/.profile.mp4"}}}, "settings.output.path"),
        ({"settings": {"hls": {"folder": "/srv"}}}, "settings.hls.folder"),
        ({"settings": {"record": {"folder": "/srv"}}}, "settings.record.folder"),
        ({"settings": {"record": {"folder": "recordings/../.."}}}, "settings.record.folder"),
        ({"settings": {"publish": [{"url": "rtsp://evil/${HOME}"}]}}, "variables"),
        ({"settings": {"publish": [{"url": "rtsp://***@a/x"}]}}, "secrets are left out"),
        ({"settings": {"publish": [{"url": "/dev/null"}]}}, "publish.0.url"),
        ({"settings": {"publish": [{"url": "@/etc/shadow"}]}}, "publish.0.url: got '***': allowed"),
        ({"settings": {"publish": [{"url": "@/dev/ptmx"}]}}, "publish.0.url: got '***': allowed"),
        ({"url": "@/dev/ptmx"}, "url: got no address"),
        ({"settings": {"encoder": {"crf": 99}}}, "encoder.crf: got 99"),
        ({"settings": {"name": "other"}}, "unknown key"),
    ],
)
def test_what_is_not_for_clients_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        after(**asked)
    assert message in str(error.value)
    assert "secretword" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_former_name_of_a_setting_is_checked_as_its_present_one() -> None:
    with pytest.raises(ConfigError, match=r"settings\.model\.fallback: got '/tmp/model', allowed"):
        new(url="demo", settings={"model": {"ladder": ["/tmp/model"]}})


def test_what_the_node_s_file_names_may_be_said_again() -> None:
    groups = {
        "model": {"name": "/tmp/model", "fallback": ["/tmp/other", "bicubic"]},
        "hls": {"folder": "hls"},
        "output": {"path": "a.mp4", "overwrite": True},
        "record": {"folder": "elsewhere"},
    }
    stream = parse({"input": {"url": "rtsp://a/x"}} | groups, StreamSettings, "file")
    asked = parse({"settings": groups, "url": "rtsp://a/x"}, CameraChange, "body")
    assert changed(stream, asked, AROUND) == stream


def path_fields(kind: type[BaseModel], *around: str) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Where settings of this kind name files, and whether they list them."""
    for key, field in kind.model_fields.items():
        group = _group_of(field.annotation)
        if group is not None:
            yield from path_fields(group, *around, key)
        elif "Path" in str(field.annotation):
            yield (*around, key), "tuple" in str(field.annotation)


@pytest.mark.parametrize(("path", "listed"), [*path_fields(StreamSettings)])
def test_no_setting_there_is_names_a_file_for_a_client(path: tuple[str, ...], listed: bool) -> None:
    value: Any = ["/tmp/x.mp4"] if listed else "/tmp/x.mp4"
    for key in reversed(path):
        value = {key: value}
    with pytest.raises(ConfigError, match=rf"settings\.{path[0]}\.{path[1]}: "):
        new(url="demo", settings=value)


@pytest.mark.timeout(10)
def test_no_file_is_opened_for_a_client(tmp_path: Path) -> None:
    fifo, address = tmp_path / "fifo", tmp_path / "address"
    os.mkfifo(fifo)
    address.write_text("rtsp://u:secretword@10.0.0.1:554/live\n")
    for path in (fifo, address, tmp_path / "none"):
        with pytest.raises(
            ConfigError, match=r"publish\.0\.url: got '\*\*\*': allowed are rtsp://"
        ):
            new(url="demo", settings={"publish": [{"url": f"@{path}"}]})
        with pytest.raises(ConfigError, match="url: got no address"):
            new(url=f"@{path}")


def test_what_was_filled_in_is_not_filled_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA", "rtsp://u:a${b}c@10.0.0.1/x")
    gate = parse({"input": {"url": "${CAMERA}"}}, StreamSettings, "file")
    found = changed(gate, parse({"enabled": False}, CameraChange, "body"), AROUND)
    assert found == gate.model_copy(update={"enabled": False})


def test_recording_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="it says where to"):
        new(url="demo", recording=True)


def test_merge_patches_are_those_of_the_rfc() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": [1], "e": "f"}
    wanted = {"a": {"b": 1, "c": 3}, "d": [2], "g": {"h": 1}}
    patch = difference(before, wanted)
    assert patch == {"a": {"c": 3}, "d": [2], "e": None, "g": {"h": 1}}
    assert laid_over(before, patch) == wanted
    assert difference(before, before) == {}
    assert laid_over({"a": 1}, {"a": {"b": None, "c": 1}}) == {"a": {"c": 1}}
