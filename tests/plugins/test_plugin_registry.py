"""Plugins are found by name, imported when they are asked for, and named where they fail."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugins.distributions import SOURCE, install

from streamsr.core.errors import ConfigError, InputError, ModelError, OutputError, UserError
from streamsr.media.addresses import FILE_SCHEMES, LIVE_SCHEMES
from streamsr.plugins import registry
from streamsr.plugins.registry import BUILT_IN, Kind, find, names, register
from streamsr.zoo.loading import NETWORKS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_warned", set())
    before = set(sys.modules)
    yield tmp_path
    for name in sys.modules.keys() - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_names_of_streamsrs_own_are_all_reserved() -> None:
    assert BUILT_IN[Kind.NETWORK] >= NETWORKS.keys()
    assert BUILT_IN[Kind.SOURCE] >= LIVE_SCHEMES | FILE_SCHEMES
    assert BUILT_IN[Kind.SINK] >= LIVE_SCHEMES | FILE_SCHEMES


@pytest.mark.parametrize("kind", [*Kind])
def test_a_registration_lasts_until_it_is_removed(kind: Kind) -> None:
    with register(kind, "mine", dict) as registration:
        found = find(kind, "mine")
        assert found is not None
        assert found.load() is dict
        assert names(kind) == ["mine"]
        assert "this program" in str(found)
    assert find(kind, "mine") is None
    registration.remove()  # twice does nothing


def test_the_same_factory_may_be_registered_again_another_may_not() -> None:
    with register(Kind.SOURCE, "mine", dict):
        again = register(Kind.SOURCE, "mine", dict)
        with pytest.raises(ConfigError, match=r"'mine': there is one already.*this program"):
            register(Kind.SOURCE, "mine", list)
        again.remove()
        assert find(Kind.SOURCE, "mine") is not None  # it is registered once more
    assert find(Kind.SOURCE, "mine") is None


def test_a_method_may_be_registered_again_and_what_an_entry_point_names(folder: Path) -> None:
    made: list[str] = []
    with register(Kind.SOURCE, "mine", made.append), register(Kind.SOURCE, "mine", made.append):
        assert names(Kind.SOURCE) == ["mine"]
    install(folder, "sensors", {"streamsr.sources": {"mysensor": "sensors:Sensor"}}, SOURCE)
    sensor = find(Kind.SOURCE, "mysensor")
    assert sensor is not None
    with register(Kind.SOURCE, "mysensor", sensor.load()):
        assert "this program" in str(find(Kind.SOURCE, "mysensor"))
    assert "sensors 1.0" in str(find(Kind.SOURCE, "mysensor"))


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Kind.SOURCE, "rtsp", "streamsr's own name"),
        (Kind.SOURCE, "My Sensor", "got 'My Sensor'.*scheme"),
        (Kind.SOURCE, "", "scheme"),
        (Kind.SINK, "https", "own name"),
        (Kind.NETWORK, "edvr", "own name"),
        (Kind.NETWORK, "a/b", "letters, digits"),
    ],
)
def test_a_name_that_cannot_be_is_refused(kind: Kind, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        register(kind, name, dict)


def test_what_cannot_be_called_is_no_factory() -> None:
    with pytest.raises(ConfigError, match=r"source 'mine': got str.*callable"):
        register(Kind.SOURCE, "mine", "no factory")  # type: ignore[arg-type]


def test_an_entry_point_is_imported_when_it_is_asked_for(folder: Path) -> None:
    install(folder, "sensors", {"streamsr.sources": {"mysensor": "sensors:Sensor"}}, SOURCE)
    found = find(Kind.SOURCE, "mysensor")
    assert found is not None
    assert "sensors" not in sys.modules
    assert found.load() is sys.modules["sensors"].Sensor
    assert str(found) == (
        "source 'mysensor' of sensors 1.0 (entry point mysensor = sensors:Sensor)"
    )


@pytest.mark.parametrize(
    ("value", "module", "words"),
    [
        ("broken:Sensor", "import there_is_no_such_module", "ModuleNotFoundError.*there_is_no"),
        ("broken:Sensor", "raise ValueError('at rtsp://me:secret@cam')", r"ValueError: at rtsp"),
        ("broken:Sensor", "raise SystemExit(3)", "SystemExit: 3"),
        ("broken:Other", SOURCE, "AttributeError.*Other"),
        ("broken:number", "number = 3", "got int, allowed is a callable"),
        ("gone.away:Sensor", "", "ModuleNotFoundError.*gone"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "error"),
    [(Kind.SOURCE, InputError), (Kind.SINK, OutputError), (Kind.NETWORK, ModelError)],
)
def test_what_cannot_be_imported_is_named(
    folder: Path, kind: Kind, error: type[UserError], value: str, module: str, words: str
) -> None:
    install(folder, "broken", {kind.group: {"bad": value}}, module)
    found = find(kind, "bad")
    assert found is not None
    with pytest.raises(error, match=words) as caught:
        found.load()
    assert f"of broken 1.0 (entry point bad = {value})" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_two_distributions_with_one_name_are_both_named_once_it_is_asked_for(folder: Path) -> None:
    for name in ("one", "other"):
        install(folder, name, {"streamsr.sources": {"same": f"{name}:Sensor"}}, SOURCE)
    install(folder, "third", {"streamsr.sources": {"fine": "third:Sensor"}}, SOURCE)
    assert names(Kind.SOURCE) == ["fine", "same"]
    assert find(Kind.SOURCE, "fine") is not None
    with pytest.raises(InputError, match=r"got 2 .*one 1\.0 .*other 1\.0 .*uninstall"):
        find(Kind.SOURCE, "same")
    with pytest.raises(ConfigError, match="there is one already, of o"):
        register(Kind.SOURCE, "same", dict)


def test_a_name_that_is_streamsrs_own_is_left_out_and_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("streamsr"), "propagate", True)
    caplog.set_level(logging.WARNING, "streamsr")
    points = {"rtsp": "thief:Sensor", "fine": "thief:Sensor"}
    install(folder, "thief", {"streamsr.sources": points}, SOURCE)
    for _ in range(3):
        assert names(Kind.SOURCE) == ["fine"]
    said = {id(r) for r in caplog.records if "'rtsp' of thief 1.0" in r.getMessage()}
    assert len(said) == 1  # each record once, by however many handlers


def test_damaged_files_of_a_distribution_hide_no_other(folder: Path) -> None:
    install(folder, "fine", {"streamsr.sources": {"fine": "fine:Sensor"}}, SOURCE)
    install(folder, "garbage", {"streamsr.sources": {"x": "y"}})
    (folder / "garbage-1.0.dist-info" / "entry_points.txt").write_text(
        "[streamsr.sources]\nno equals sign\n\x00"
    )
    install(folder, "binary", {"streamsr.sources": {"x": "y"}})
    (folder / "binary-1.0.dist-info" / "entry_points.txt").write_bytes(
        b"[streamsr.sources]\n\xff\xfe = \xff\n"
    )
    assert "fine" in names(Kind.SOURCE)


def test_a_distribution_without_metadata_is_named_by_its_folder(folder: Path) -> None:
    install(folder, "bare", {"streamsr.sources": {"bare": "bare:Sensor"}}, SOURCE)
    (folder / "bare-1.0.dist-info" / "METADATA").unlink()
    found = find(Kind.SOURCE, "bare")
    assert found is not None
    assert "bare-1.0.dist-info" in str(found)


def test_of_a_distribution_that_lies_there_twice_the_first_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, version in (("old", "1.0"), ("new", "2.0")):
        install(folder / place, "twin", {"streamsr.sources": {"t": "twin:Sensor"}}, SOURCE, version)
        monkeypatch.syspath_prepend(str(folder / place))
    found = find(Kind.SOURCE, "t")
    assert found is not None
    assert "twin 2.0" in str(found)
