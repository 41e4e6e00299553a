"""Settings out of TOML: what is right comes through, what is wrong is named and explained."""

import os
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from streamsr.core.config import Settings, dump, load, nearest, parse, with_overrides
from streamsr.core.errors import ConfigError
from streamsr.core.settings import PipelineSettings


class Lens(Settings):
    focal_mm: float = Field(default=35.0, gt=0)
    mount: Literal["bayonet", "screw"] = "bayonet"


class Camera(Settings):
    name: str
    frames: int = Field(default=25, ge=1, le=240)
    sharp: bool = True
    folder: Path | None = None
    crop: tuple[int, int] = (0, 0)
    lens: Lens = Lens()
    spares: tuple[Lens, ...] = ()
    presets: dict[str, Lens] = Field(default_factory=dict)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "camera.toml"
    path.write_text(text, encoding="utf-8")
    return path


def fault(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), Camera, overrides)
    return str(caught.value)


def test_a_file_becomes_settings(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        name = "yard"
        frames = 30
        folder = "/tmp/yard"
        crop = [4, 8]
        lens = { focal_mm = 50 }
        [[spares]]
        mount = "screw"
        [presets.night]
        focal_mm = 24.5
        """,
    )
    assert load(path, Camera) == Camera(
        name="yard",
        frames=30,
        folder=Path("/tmp/yard"),
        crop=(4, 8),
        lens=Lens(focal_mm=50.0),
        spares=(Lens(mount="screw"),),
        presets={"night": Lens(focal_mm=24.5)},
    )


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Camera(name="yard").name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ('name = "a"\nframs = 3', "frams", "frames"),
        ('name = "a"\n[lens]\nfocal_m = 3', "lens.focal_m", "focal_mm"),
        ('name = "a"\n[[spares]]\nmont = "screw"', "spares.0.mont", "mount"),
        ('name = "a"\n[presets.night]\nmuont = "screw"', "presets.night.muont", "mount"),
    ],
)
def test_an_unknown_key_names_the_nearest(tmp_path: Path, text: str, key: str, hint: str) -> None:
    message = fault(tmp_path, text)
    assert f"unknown key '{key}' (did you mean '{hint}'?)" in message
    assert "camera.toml" in message


def test_an_unknown_key_like_no_other_lists_those_there_are(tmp_path: Path) -> None:
    message = fault(tmp_path, 'name = "a"\n[lens]\nxyzzy = 1')
    assert "did you mean" not in message
    assert "allowed are focal_mm, mount" in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('name = "a"\nframes = 0', ["frames: got 0", "greater than or equal to 1"]),
        ('name = "a"\nframes = 500', ["frames: got 500", "less than or equal to 240"]),
        ('name = "a"\nframes = "30"', ["frames: got '30'", "integer"]),
        ('name = "a"\nframes = true', ["frames: got True", "integer"]),
        ('name = "a"\nframes = 2.5', ["frames: got 2.5", "integer"]),
        ('name = "a"\nsharp = "yes"', ["sharp: got 'yes'", "boolean"]),
        ('name = "a"\nsharp = 1', ["sharp: got 1", "boolean"]),
        ("name = 5", ["name: got 5", "string"]),
        ('name = "a"\nlens = 5', ["lens: got 5"]),
        ('name = "a"\nlens = { mount = "glue" }', ["lens.mount: got 'glue'", "bayonet", "screw"]),
        ('name = "a"\ncrop = [1]', ["crop.1", "missing"]),
        ("frames = 3", ["key 'name' is missing"]),
    ],
)
def test_a_wrong_value_says_what_it_got_and_what_is_allowed(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    message = fault(tmp_path, text)
    assert "camera.toml: " in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_number_is_finite(tmp_path: Path, number: str) -> None:
    message = fault(tmp_path, f'name = "a"\nlens = {{ focal_mm = {number} }}')
    assert f"lens.focal_mm: got {number}" in message


def test_a_long_value_is_cut_short(tmp_path: Path) -> None:
    message = fault(tmp_path, f'name = "a"\nframes = "{"x" * 5000}"')
    assert "frames: got 'xxx" in message
    assert "(5002 characters)" in message
    assert len(message) < 400


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    message = fault(tmp_path, "frames = 0\n[lens]\nfocal_mm = -1\nmuont = 3")
    assert len(message.splitlines()) == 4
    assert all(line.count("camera.toml: ") == 1 for line in message.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "name = ",
        "name = 'a'\nname = 'b'",
        "[lens",
        "\x00",
        pytest.param("frames = " + "9" * 5000, id="5000 digits"),
        pytest.param("crop = " + "[" * 5000, id="5000 brackets"),
    ],
)
def test_what_is_no_toml_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    assert "cannot be read as TOML" in fault(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml", Camera)
    for path in (tmp_path, tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path, Camera)
    latin = tmp_path / "latin.toml"
    latin.write_bytes('name = "Zürich"'.encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load(latin, Camera)


def test_overrides_lie_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'name = "a"\nframes = 30\n[lens]\nfocal_mm = 50.0')
    overrides = ["frames=5", "lens.mount=screw", "name=b c", 'folder="/x"', "crop=[1, 2]"]
    assert load(path, Camera, overrides) == Camera(
        name="b c",
        frames=5,
        folder=Path("/x"),
        crop=(1, 2),
        lens=Lens(focal_mm=50.0, mount="screw"),
    )


def test_overrides_make_the_tables_they_need_and_the_last_one_counts() -> None:
    data: dict[str, object] = {"name": "a"}
    laid = with_overrides(data, ["presets.night.focal_mm=20", "presets.night.focal_mm=21"])
    assert laid == {"name": "a", "presets": {"night": {"focal_mm": 21}}}
    assert data == {"name": "a"}  # what came in stays as it was


@pytest.mark.parametrize("override", ["frames", "=5", "", " = 5"])
def test_an_override_without_a_key_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        with_overrides({}, [override])


def test_a_wrong_override_is_told_like_a_wrong_line(tmp_path: Path) -> None:
    assert "frames: got 'many'" in fault(tmp_path, 'name = "a"', "frames=many")
    assert "(did you mean 'lens'?)" in fault(tmp_path, 'name = "a"', "lense.mount=screw")
    assert "unknown key 'lens.mont' (did you mean 'mount'?)" in fault(
        tmp_path, 'name = "a"', "lens.mont=screw"
    )
    assert "name: got {'b': 1}" in fault(tmp_path, 'name = "a"', "name.b=1")


def test_a_number_that_python_cannot_write_down_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in fault(tmp_path, f'name = "a"\nframes = 0x{"f" * 5000}')
    assert "frames: got '999" in fault(tmp_path, 'name = "a"', f"frames={'9' * 5000}")


class Feed(Settings):
    url: str = Field(pattern="^good://")
    name: str = "a"


class Feeds(Settings):
    main: Feed | None = None
    more: tuple[Feed, ...] = ()


SECRET = "hunter22"


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ('main = { url = "rtps://user:it\'s-hunter22@h" }', "main.url: got 'rtps://***'"),
        ('main = { url = "user:hunter22@cam/x" }', "main.url: got '***'"),
        ('main = { url = "rtmpx://h/live/hunter22" }', "main.url: got 'rtmpx://***'"),
        ('main = { url = "h/live/hunter22" }', "main.url: got '***'"),
        ('main = { url = ["hunter22"] }', "main.url: got ['***']"),
        ('main = { url = { a = "hunter22" } }', "main.url: got {'a': '***'}"),
        ('main = "h/live/hunter22"', "main: got '***'"),
        ('main = [{ url = "hunter22" }]', "main: got [{'url': '***'}]"),
        ('more = "h/live/hunter22"', "more: got '***'"),
        ('more = ["h/live/hunter22"]', "more.0: got '***'"),
        ('more = [{ url = "hunter22" }]', "more.0.url: got '***'"),
        ('more = { url = "hunter22" }', "more: got {'url': '***'}"),
        ('main = { url = "good://", name = ["a:hunter22@b"] }', "main.name: got ['***']"),
        ('"rtsp://a:hunter22@b" = 1', "unknown key 'rtsp://***'"),
        ('main = "x', "cannot be read as TOML"),
    ],
)
def test_an_address_is_never_shown(tmp_path: Path, text: str, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), Feeds)
    assert got in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_override_without_its_key_is_not_shown_either() -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE") as caught:
        with_overrides({}, ["rtsp://user:it's-hunter22@h"])
    assert SECRET not in str(caught.value)


def test_parse_names_the_place_it_is_given() -> None:
    with pytest.raises(ConfigError, match=r"^over there: key 'name' is missing$"):
        parse({}, Camera, "over there")


def test_nearest() -> None:
    assert nearest("bicubik", ["bicubic", "lanczos"]) == " (did you mean 'bicubic'?)"
    assert nearest("xyzzy", ["bicubic", "lanczos"]) == ""
    assert nearest("a", []) == ""


def test_bytes_that_are_not_utf_8_survive_json_and_toml(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9/\xff.mp4")
    data = {"input": {"url": name}, "output": {"path": name}}
    settings = parse(data, PipelineSettings, "here")
    assert (settings.input.url, str(settings.output.path)) == (name, name)
    assert PipelineSettings.model_validate_json(settings.model_dump_json()) == settings
    dump(settings, tmp_path / "x.toml")
    assert load(tmp_path / "x.toml", PipelineSettings) == settings
    assert PipelineSettings.model_validate(settings.model_dump()) == settings
