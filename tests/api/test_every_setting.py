"""Every setting counts in a program: it is read where a pipeline runs, or refused by its name.

Fields are found by walking over the settings' classes: a new one that nothing reads fails here.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import aiohttp
import av
import numpy as np
import pytest
from numpy.typing import NDArray
from peers.mosquitto import MOSQUITTO_INSTALL, Mosquitto, mosquitto_path
from peers.waiting import until

import streamsr
from streamsr.core.config import Settings
from streamsr.core.errors import ConfigError, UserError
from streamsr.core.settings import InputSettings, PipelineSettings
from streamsr.pipeline.check import unused_by_input
from streamsr.sources.plugin_source import NOT_TAKEN

CHEAP = {"name": "bicubic", "device": "cpu", "self_check_s": 0}


def kinds(kind: type[Settings] = PipelineSettings) -> Iterator[type[Settings]]:
    """A class of settings and all that are its fields'."""
    yield kind
    for field in kind.model_fields.values():
        for group in classes_in(field.annotation):
            yield from kinds(group)


def classes_in(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from classes_in(part)


def keys() -> set[str]:
    """Every field of every class, named where it is defined, as InputSettings.url."""
    return {f"{owner(kind, name)}.{name}" for kind in kinds() for name in kind.model_fields}


def owner(kind: type[Settings], name: str) -> str:
    """The class that a field is defined in."""
    owners = [c for c in kind.__mro__ if name in vars(c).get("__annotations__", {})]
    return owners[-1].__name__


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys that are read from here on by whatever uses them: not by their validators."""
    seen: set[str] = set()

    def noted(self: Settings, name: str) -> Any:
        kind = type(self)
        if not name.startswith("_") and name in kind.__pydantic_fields__:
            code = sys._getframe(1).f_code
            checks = code.co_name.startswith("_") and "core/settings" in code.co_filename
            if not checks and "/pydantic/" not in code.co_filename:
                seen.add(f"{owner(kind, name)}.{name}")
        return object.__getattribute__(self, name)

    monkeypatch.setattr(Settings, "__getattribute__", noted, raising=False)
    return seen


class Ignoring:
    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Keeps nothing."""

    def close(self) -> None:
        """Ends nothing."""


@pytest.mark.skipif(mosquitto_path() is None, reason=MOSQUITTO_INSTALL)
async def test_what_is_not_refused_is_read(
    reads: set[str], tmp_path: Path, clip: Callable[..., Path]
) -> None:
    with Mosquitto() as broker:
        await run_live(tmp_path, broker.port)
    await run_file(tmp_path, clip(seconds=1.0, audio=True))
    await run_folder(image_in(tmp_path / "images"))
    await only_open("rtsp://127.0.0.1:9/x")
    await only_open(str(clip(seconds=1.0, audio=True)), follow=True)
    ignored = keys() - reads
    assert ignored == set(), "have one of these runs use them, or open_pipeline refuse them"


async def run_live(tmp_path: Path, port: int) -> None:
    """A camera with all that can be beside it."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123")
    asked = {
        "input": {"url": "demo"},
        "model": CHEAP,
        "publish": [{"url": "rtsp://127.0.0.1:9/x"}],
        "hls": {"folder": str(tmp_path / "hls")},
        "record": {"folder": str(tmp_path / "rec")},
        "serve": {
            "listen": "127.0.0.1:0",
            "tokens": [{"name": "wall", "role": "view", "file": str(token)}],
        },
        "mqtt": {"host": "127.0.0.1", "port": port},
        "webrtc": {"ice_servers": [{"urls": ["stun:127.0.0.1:9"]}]},
    }
    async with streamsr.open_pipeline(asked) as pipeline:
        running = asyncio.create_task(pipeline.run())
        await until(lambda: pipeline.status().frames_out > 5)
        async for event in pipeline.events():
            if event.code is streamsr.Code.MQTT_UP:
                break
        async with (
            aiohttp.ClientSession() as session,
            session.options(
                f"{str(pipeline.url).partition('?')[0].rstrip('/')}/whep/stream",
                headers={"Authorization": "Bearer 0123456789abcdef0123"},
            ) as answer,
        ):
            assert "stun:127.0.0.1:9" in answer.headers["Link"]
        pipeline.stop()
        await running


async def run_file(tmp_path: Path, path: Path) -> None:
    asked = {
        "input": {"url": str(path)},
        "model": CHEAP,
        "encoder": {"codec": "hevc", "preset": "ultrafast"},
        "output": {"path": str(tmp_path / "out.mp4"), "overwrite": True, "compare": "side"},
        "sinks": [{"url": "ignoring://x"}],
    }
    with streamsr.register_sink("ignoring", lambda url: Ignoring()):
        async with streamsr.open_pipeline(asked) as pipeline:
            await pipeline.run()


def image_in(folder: Path) -> Path:
    folder.mkdir()
    image = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
    image.to_image().save(folder / "1.png")
    return folder


async def run_folder(folder: Path) -> None:
    async with streamsr.open_pipeline({"input": {"url": str(folder)}, "model": CHEAP}) as pipeline:
        await pipeline.run()


async def only_open(url: str, **more: object) -> None:
    async with streamsr.open_pipeline({"input": {"url": url, **more}, "model": CHEAP}):
        pass


@pytest.mark.parametrize(
    ("group", "key", "instead"),
    [
        ({"enabled": False}, "enabled: got false", r"\[serve\] or \[mqtt\]"),
        ({"record": {"folder": "r", "enabled": False}}, "record.enabled: got false", "switch"),
        ({"output": {"labels": True}}, "labels: got true", "compare: side or split"),
        ({"hls": {}}, "hls.folder: got none", r"\[serve\]"),
        ({"webrtc": {"udp_ports": "5000"}}, "webrtc.udp_ports: got '5000'", r"\[serve\]"),
        ({"webrtc": {"announce": ["192.0.2.1"]}}, "webrtc.announce: got", r"\[serve\]"),
        ({"webrtc": {"interfaces": ["eth0"]}}, "webrtc.interfaces: got", r"\[serve\]"),
        ({"webrtc": {"ice_servers": [{"urls": ["stun:a"]}]}}, "webrtc.ice_servers", r"\[serve\]"),
        ({"serve": {"edits": "file"}}, "serve.edits: got 'file'", "'forget'"),
        ({"serve": {"state_folder": "s"}}, "serve.state_folder: got 's'", "leave it out"),
    ],
)
async def test_what_a_program_cannot_have_is_refused_by_name(
    group: dict[str, Any], key: str, instead: str
) -> None:
    with pytest.raises(ConfigError, match=f"{re.escape(key)}.*{instead}"):
        async with streamsr.open_pipeline({"input": {"url": "demo"}, "model": CHEAP} | group):
            pass


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("transport", "udp"),
        ("rate", "30"),
        ("audio_from", "a.mp4"),
        ("video", 1),
        ("audio", 1),
        ("live", True),
        ("follow", True),
        ("follow_s", 3.0),
        ("max_gap_s", 3.0),
        ("deinterlace", "off"),
    ],
)
async def test_what_a_source_of_ones_own_cannot_follow_is_refused(key: str, value: object) -> None:
    with streamsr.register_source("mine", lambda url: None):  # type: ignore[arg-type,return-value]
        asked = {"input": {"url": "mine://x", key: value}, "model": CHEAP}
        with pytest.raises(UserError, match=f"input.{key}"):
            async with streamsr.open_pipeline(asked):
                pass


def test_every_setting_of_an_input_is_for_a_source_of_ones_own_or_refused() -> None:
    assert {"url", "give_up_s", *NOT_TAKEN} == set(InputSettings.model_fields)


CODED = {"video", "audio", "deinterlace"}
USED = {
    "demo": set(),
    ".": {"rate", "audio_from"},
    __file__: CODED | {"follow", "max_gap_s"},
    "-": CODED | {"max_gap_s"},
    "rtsp://127.0.0.1:9/x": CODED | {"transport", "live"},
    "rtmp://127.0.0.1:9/x": CODED | {"live"},
    "http://127.0.0.1:9/x": CODED | {"live", "follow", "max_gap_s"},
}
SAID: dict[str, object] = {
    "transport": "udp",
    "rate": "30",
    "audio_from": "a.mp4",
    "video": 1,
    "audio": 1,
    "live": True,
    "follow": True,
    "follow_s": 3.0,
    "max_gap_s": 3.0,
    "deinterlace": "field",
}


@pytest.mark.parametrize("url", USED)
async def test_what_nothing_comes_of_with_an_input_is_refused(url: str) -> None:
    assert {"url", "give_up_s", *SAID} == set(InputSettings.model_fields)
    for key in {*SAID} - USED[url]:
        asked = {"input": {"url": url, key: SAID[key]}, "model": CHEAP}
        with pytest.raises(ConfigError, match=f"input.{key}: got .*: allowed is it of .* input is"):
            async with streamsr.open_pipeline(asked):
                pass
    for key in USED[url]:
        asked_ = InputSettings.model_validate({"url": url, key: SAID[key]})
        assert not [*unused_by_input(asked_)], key


async def test_models_to_fall_back_to_are_looked_for_though_nothing_falls_back() -> None:
    asked = {"input": {"url": "demo"}, "model": {"name": "bicubic", "fallback": ["nope"]}}
    with pytest.raises(streamsr.ModelError, match="nope"):
        async with streamsr.open_pipeline(asked):
            pass
