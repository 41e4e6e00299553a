"""The pipeline files that come along: they load, and the reference shows every setting."""

import re
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest

from streamsr.core.config import Settings, load, parse
from streamsr.core.errors import ConfigError
from streamsr.core.settings import (
    FleetSettings,
    InputSettings,
    NodeSettings,
    PipelineSettings,
    StreamSettings,
)
from streamsr.train.settings import TrainSettings

PIPELINES = Path(__file__).parents[2] / "pipelines"
REFERENCE = PIPELINES / "reference.toml"


NODES: dict[str, type[Settings]] = {"node.toml": NodeSettings, "fleet.toml": FleetSettings}


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.toml")), ids=lambda p: p.name)
def test_every_pipeline_file_loads(path: Path) -> None:
    load(path, NODES.get(path.name, PipelineSettings))


def groups_of(kind: type[Settings]) -> Iterator[tuple[str, type[Settings]]]:
    for name, field in kind.model_fields.items():
        for group in (field.annotation, *get_args(field.annotation)):
            if isinstance(group, type) and issubclass(group, Settings):
                yield name, group


def test_the_reference_shows_every_setting() -> None:
    shown = tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", REFERENCE.read_text("utf-8")))
    shown["publish"], shown["sinks"] = shown["publish"][0], shown["sinks"][0]
    assert shown.keys() == PipelineSettings.model_fields.keys()
    groups = dict(groups_of(PipelineSettings))
    assert len(groups) == 12
    for name, group in groups.items():
        assert shown[name].keys() == group.model_fields.keys()


def test_what_the_reference_gives_are_the_defaults() -> None:
    reference = load(REFERENCE, PipelineSettings)
    plain = parse(
        {
            "input": {"url": "demo"},
            "serve": {},
            "hls": {},
            "record": {"folder": "recordings"},
            "mqtt": {"host": "127.0.0.1"},
            "publish": [{"url": "rtsp://127.0.0.1:8554/up"}],
        },
        PipelineSettings,
        "here",
    )
    assert reference == plain


def test_a_node_says_the_same_of_its_streams_and_itself() -> None:
    assert NodeSettings.model_fields.keys() == {"name", "serve", "mqtt", "webrtc", "streams"}
    reference = load(REFERENCE, PipelineSettings)
    node = reference.as_node()
    assert (node.serve, node.mqtt, node.name) == (reference.serve, reference.mqtt, "stream")
    assert node.webrtc == reference.webrtc
    assert node.streams[0].record == reference.record
    assert parse(node.model_dump(mode="json"), NodeSettings, "here") == node


def test_two_streams_of_one_name_are_refused() -> None:
    streams = [{"name": "a", "input": {"url": "demo"}}] * 2
    with pytest.raises(ConfigError, match="the name 'a' twice"):
        parse({"streams": streams}, NodeSettings, "here")


ONE = {"input": {"url": "demo"}}


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("output.path", {"output": {"path": "a.mp4"}}, {"output": {"path": "./a.mp4"}}),
        ("hls.folder", {"hls": {"folder": "a/b"}}, {"hls": {"folder": "a//b/"}}),
        (
            "publish.url",
            {"publish": [{"url": "rtsp://u:hunter22@h/up"}, {"url": "rtsp://h/down"}]},
            {"publish": [{"url": "RTSP://u:hunter23@h/up/"}]},
        ),
    ],
)
def test_two_streams_with_one_output_are_refused(
    key: str, first: dict[str, object], second: dict[str, object]
) -> None:
    streams = [{"name": "gate"} | ONE | first, {"name": "yard"} | ONE | second]
    with pytest.raises(ConfigError, match=f"the same {key} twice, of 'gate' and of 'yard'") as told:
        parse({"streams": streams}, NodeSettings, "here")
    assert "hunter2" not in str(told.value)


def test_one_stream_that_publishes_twice_to_one_place_is_refused() -> None:
    twice = ONE | {"publish": [{"url": "rtmp://h/live/hunter22"}] * 2}
    for data, kind in ((twice, PipelineSettings), ({"streams": [twice]}, NodeSettings)):
        with pytest.raises(ConfigError, match=r"the same publish\.url twice") as told:
            parse(data, kind, "here")
        assert "hunter22" not in str(told.value)


def test_streams_may_record_into_one_folder_and_publish_to_one_server() -> None:
    outputs = {"record": {"folder": "recordings"}, "hls": {}}
    streams = [
        {"name": name, "publish": [{"url": f"rtsp://u:p@h/{name}"}]} | ONE | outputs
        for name in ("gate", "yard")
    ]
    assert len(parse({"streams": streams}, NodeSettings, "here").streams) == 2


def test_the_lowest_rate_is_one() -> None:
    rate = parse({"input": {"url": "x", "rate": 0.01}}, PipelineSettings, "here").input.exact_rate
    assert rate == Fraction(1, 100)


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM_PASSWORD", "p@ss/w%rd:#1")
    settings = parse(
        {"input": {"url": "rtsp://me:${CAM_PASSWORD}@cam/1"}}, PipelineSettings, "here"
    )
    assert settings.input.url == "rtsp://me:p%40ss%2Fw%25rd%3A%231@cam/1"
    with pytest.raises(ConfigError, match="variable CAM_SECRET is not set"):
        parse({"input": {"url": "rtsp://me:${CAM_SECRET}@cam/1"}}, PipelineSettings, "here")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("input.transport=sctp", "input.transport: got 'sctp'"),
        ("encoder.crf=99", "encoder.crf: got 99"),
        ("encoder={crf=20, kbit_s=800}", "allowed is crf or kbit_s, not both"),
        ("encoder.hardware='on'", "hardware: got 'on': allowed is auto, off or an encoder's name"),
        ("encoder.hardware=hevc_nvenc", "hardware: got hevc_nvenc, allowed is auto, off or one"),
        ("encoder={depth=10}", "depth: got 10, allowed is 8 with the codec h264"),
        ("encoder={kbit_s=800, max_kbit_s=400}", "kbit_s: got 800, allowed is max_kbit_s, 400"),
        ("serve.listen=:8080", "HOST:PORT"),
        ("limits.frames=0", "limits.frames: got 0"),
        ("name=a b", "name: got 'a b'"),
        ("model.nmae=x", "did you mean 'name'"),
        ("model.budget_ms=10", "model.budget_ms: got 10"),
        ("model.self_check_s=-1", "model.self_check_s: got -1"),
        ("model.self_check_s=1e9", "model.self_check_s: got 1000000000"),
        ("record.segment_s=0", "record.segment_s: got 0"),
        ("hls.segments=1", "hls.segments: got 1"),
        ("mqtt.port=0", "mqtt.port: got 0"),
        (
            "mqtt.prefix=a/#",
            "mqtt.prefix: got 'a/#': allowed is letters, digits, - and _, of ASCII, with /",
        ),
        ("mqtt.discovery_prefix=a/b", "mqtt.discovery_prefix: got 'a/b': allowed is letters"),
        ("mqtt.page_url=ftp://h", "mqtt.page_url: got 'ftp://***': allowed is http://HOST or"),
        ('name="a b"', "name: got 'a b': allowed is 1 to 64 letters, digits, - and _"),
        ('name="a\\n"', "name: got 'a\\n': allowed is 1 to 64 letters"),
        ("serve.tls_key=x", "tls_certificate and tls_key go together"),
        ('publish=[{url="rtps://host/x"}]', "did you mean 'rtsps'"),
        ("input.rate=0.0001", "input.rate: got 0.0001"),
        ("input.url=rtsp://[::1", "input.url: got 'rtsp://***': allowed is SCHEME://HOST"),
        ('publish=[{url="rtsp://[::1"}]', "publish.0.url: got 'rtsp://***': allowed is SCHEME"),
        ('input.url="a\\u0000b"', "control characters, got 0x00"),
        ('output.path="a\\u0000b.mp4"', "output.path: got 'a\\x00b.mp4': allowed is text"),
        (f"output.path={'x' * 300}.mp4", "allowed are 255 bytes in a file's name, got 304"),
        ("output.size=1080q", "output.size: got '1080q': allowed are 720p, 1080p, 4k"),
        ("output.size=8", "output.size: got 8: allowed are"),
        ("output.scale=9", "output.scale: got 9: allowed is 0.25 to 8"),
        ("output={size='720p', scale=2}", "allowed is a size or a scale, not both"),
        (f"model.name=/{'x' * 300}", "allowed are 255 bytes"),
        (f"record.folder={'x/' * 2000}", "allowed are 2048 bytes"),
        ('mqtt.username="a\\nb"', "mqtt.username: got 'a\\nb'"),
        ("record.min_free_gb=1e300", "record.min_free_gb: got 1e+300"),
        ("limits.seconds=nan", "limits.seconds: got nan"),
    ],
)
def test_a_wrong_value_names_its_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(REFERENCE, PipelineSettings, [override])


@pytest.mark.parametrize(
    "path", sorted(PIPELINES.parent.glob("models/*/train.toml")), ids=lambda p: p.parent.name
)
def test_every_training_file_loads(path: Path) -> None:
    settings = load(path, TrainSettings)
    assert settings.name == path.parent.name


@pytest.mark.parametrize(
    ("text", "was", "now"),
    [
        ('[model]\nladder = ["lanczos"]', "model.ladder", "fallback"),
        ("[hls]\nsound = false", "hls.sound", "audio"),
        ('[record]\nfolder = "r"\nsound = false', "record.sound", "audio"),
        ('[[publish]]\nurl = "rtsp://h/x"\nsound = false', "publish.0.sound", "audio"),
    ],
)
def test_a_former_name_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, was: str, now: str
) -> None:
    path = tmp_path / "old.toml"
    path.write_text(f'[input]\nurl = "demo"\n{text}\n')
    old = load(path, PipelineSettings)
    (record,) = caplog.records
    assert record.getMessage() == f"{path}: {was}: its name is now {now!r}"
    key = was.rpartition(".")[2]
    path.write_text(path.read_text().replace(key, now))
    assert load(path, PipelineSettings) == old
    assert len(caplog.records) == 1
    path.write_text(path.read_text() + f"{key} = true\n")
    with pytest.raises(ConfigError, match=rf"{was}: got '{now}' as well"):
        load(path, PipelineSettings)


def test_a_former_name_is_none_where_the_key_is_another(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'model\.sound'"):
        parse({"input": {"url": "demo"}, "model": {"sound": True}}, PipelineSettings, "here")


@pytest.mark.parametrize(
    ("override", "size"),
    [
        ("output.size=1080p", (1920, 1080)),
        ("output.size=720", (1280, 720)),
        ("output.size=800x600", (800, 450)),
        ("output.scale=1.5", (960, 540)),
        ("output.scale=2", (1280, 720)),
    ],
)
def test_a_file_names_the_size_of_its_result(override: str, size: tuple[int, int]) -> None:
    target = load(REFERENCE, PipelineSettings, [override]).output.target
    assert target is not None
    assert target.of(640, 360) == size
    assert load(REFERENCE, PipelineSettings).output.target is None


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", Fraction(25)),
        (25.0, Fraction(25)),
        (12.5, Fraction(25, 2)),
        ("0.2", Fraction(1, 5)),
        ("24000/1001", Fraction(24_000, 1001)),
        ("23.976", Fraction(24_000, 1001)),
        (29.97, Fraction(30_000, 1001)),
        ("59.94", Fraction(60_000, 1001)),
        ("24.97", Fraction(2497, 100)),
    ],
)
def test_a_rate_is_a_number_or_a_fraction(text: object, rate: Fraction) -> None:
    assert InputSettings.model_validate({"url": "frames", "rate": text}).exact_rate == rate


@pytest.mark.parametrize("text", ["fast", "0", "-25", "1/0", "241", "24000/1001/2", "", "nan"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"rate: got .*allowed is a number from 0.01 to 240, or"):
        parse({"url": "frames", "rate": text}, InputSettings, "here")


def test_outputs_have_names_of_their_own() -> None:
    servers = [{"url": "rtsp://a/b"}, {"url": "RTMPS://a/b", "name": "nvr"}, {"url": "rtmp://a/c"}]
    stream = {"input": {"url": "demo"}, "publish": servers}
    settings = parse(stream, StreamSettings, "here")
    assert settings.publish_names == ("rtsp-1", "nvr", "rtmp-3")


@pytest.mark.parametrize("name", ["rtsp-1", "hls", "record"])
def test_a_name_of_another_output_is_refused(name: str) -> None:
    servers = [{"url": "rtsp://a/b"}, {"url": "rtsp://a/c", "name": name}]
    stream = {"input": {"url": "demo"}, "publish": servers}
    with pytest.raises(ConfigError, match=f"publish: got the name '{name}' twice"):
        parse(stream, StreamSettings, "here")
