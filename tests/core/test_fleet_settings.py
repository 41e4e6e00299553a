"""A file of a fleet: what it may say, and what is said of what it may not."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from streamsr.core.config import load, parse
from streamsr.core.errors import ConfigError
from streamsr.core.settings import FleetSettings, NodeSettings, StreamSettings
from streamsr.core.settings.fleet import FleetGroup, FleetStreamSettings
from streamsr.fleet.wanted import wanted_of

FILE = Path(__file__).parents[2] / "pipelines" / "fleet.toml"
ONE = {"name": "gate", "input": {"url": "demo"}}


def a_fleet(group: dict[str, Any] | None = None, **stream: Any) -> FleetSettings:
    return parse({"fleet": group or {}, "streams": [ONE | stream]}, FleetSettings, "here")


def test_the_file_that_comes_along_shows_every_setting_with_its_default() -> None:
    shown = tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", FILE.read_text("utf-8")))
    assert shown["fleet"].keys() == FleetGroup.model_fields.keys()
    only = FleetStreamSettings.model_fields.keys() - StreamSettings.model_fields.keys()
    assert only <= shown["streams"][0].keys()
    found = load(FILE, FleetSettings)
    local = a_fleet({"address": "local"})
    assert (found.name, found.fleet.local_hosts) == (local.name, local.fleet.local_hosts)
    assert found.fleet.model_copy(update={"hosts": None}) == local.fleet


def test_a_fleet_takes_what_a_node_takes() -> None:
    assert FleetSettings.model_fields.keys() - NodeSettings.model_fields.keys() == {"fleet"}
    mine = a_fleet(labels={"site": "north"}, priority=2, hls={}).streams[0]
    node = parse({"streams": [ONE | {"hls": {}}]}, NodeSettings, "here").streams[0]
    assert mine.as_stream() == node


@pytest.mark.parametrize("address", ["auto", "local", "ray://head.example:10001", "10.0.0.5:6379"])
def test_addresses_of_ray(address: str) -> None:
    assert a_fleet({"address": address}).fleet.is_local == (address == "local")


@pytest.mark.parametrize(
    ("group", "stream", "says"),
    [
        ({"address": "http://head"}, {}, "fleet.address: got .*allowed are auto, local"),
        ({"address": "ray://user:secret@head:10001"}, {}, "fleet.address"),
        ({"address": "head:65536"}, {}, "a machine and its port, as head:6379"),
        ({"address": "ray://head:0"}, {}, "of Ray's client server, as ray://head:10001"),
        ({"hosts": 3}, {}, "hosts: got 3 with the address 'auto'"),
        ({"address": "local", "hosts": 0}, {}, "fleet.hosts: got 0"),
        ({"reserve": 1.0}, {}, "fleet.reserve: got 1.0"),
        ({"lease_s": 2.4}, {}, "fleet.lease_s: got 2.4.*2.5"),
        ({"spread": "all"}, {}, "fleet.spread: got 'all'"),
        ({"labels": {"host-1": {"site": "two words"}}}, {}, "fleet.labels.host-1.site: got"),
        ({"spred": "even"}, {}, "did you mean 'spread'"),
        ({}, {"labels": {"": "north"}}, "streams.0.labels"),
        ({}, {"priority": 1.5}, "streams.0.priority: got 1.5"),
        ({}, {"priorty": 1}, "did you mean 'priority'"),
    ],
)
def test_what_is_not_allowed_is_said(
    group: dict[str, Any], stream: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as told:
        a_fleet(group, **stream)
    assert "secret" not in str(told.value)


def test_what_a_controller_gets_has_secrets_but_no_labels_in_the_settings(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "camera"
    secret.write_text("rtsp://user:hunter22@camera/1\n")
    settings = a_fleet(
        {"labels": {"host-1": {"site": "north"}}, "reserve": 0.1},
        input={"url": f"@{secret}"},
        labels={"site": "north"},
        priority=3,
    )
    wanted = wanted_of(settings, 7)
    (camera,) = wanted.cameras
    assert (wanted.version, camera.name, camera.priority) == (7, "gate", 3)
    assert camera.labels == {"site": "north"}
    assert camera.settings["input"]["url"] == "rtsp://user:hunter22@camera/1"
    assert camera.settings.keys().isdisjoint({"labels", "priority"})
    assert (wanted.policy.reserve, wanted.policy.labels) == (0.1, {"host-1": {"site": "north"}})
