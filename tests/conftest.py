"""Fixtures that give tests their real peers."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import pytest
from peers import (
    GST_INSTALL,
    NGINX_INSTALL,
    NginxProxy,
    RtmpServer,
    RtspCamera,
    RtspServer,
    camera_clip,
    gst_is_installed,
    nginx_is_installed,
)
from peers.npm import NPM_INSTALL, npm_file, npm_path
from peers.turn import TURN_INSTALL, TurnServer, turn_path

from streamsr.core.redact import secrets

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one a core
av.logging.set_level(None)  # its log callback takes the GIL and can deadlock


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what takes minutes to hours, unless ``-m soak`` asks for it."""
    if "soak" in config.option.markexpr:
        return
    soaks = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=soaks)
    items[:] = [item for item in items if item not in soaks]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keeps what this machine measures out of the user's folder; commands that tests run inherit
    it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield folder


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test protects is not protected in the next."""
    monkeypatch.setattr(secrets, "_secrets", secrets._Secrets())


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``clip(**settings)``: the file that ``camera_clip`` makes of them, made once a session."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, Path] = {}

    def make(**settings: Any) -> Path:
        key = repr(sorted(settings.items()))
        if key not in made:
            made[key] = camera_clip(folder / f"{len(made)}.mp4", **settings)
        return made[key]

    return make


@pytest.fixture(scope="session")
def require_gst() -> None:
    """Ask for gst-rtsp-server: skip without it, fail in CI."""
    if not gst_is_installed():
        _missing("gst-rtsp-server", GST_INSTALL)


@pytest.fixture
def rtsp_camera(require_gst: None, clip: Callable[..., Path]) -> Iterator[Callable[..., Any]]:
    """``rtsp_camera(path=None, **settings)``: a running ``RtspCamera``, stopped after the test.

    Without a path it shows the default clip: 320x180 at 25 fps, 4 s of numbers, audio.
    """
    with ExitStack() as stack:

        def start(path: Path | None = None, **settings: Any) -> RtspCamera:
            return stack.enter_context(RtspCamera(path or clip(), **settings))

        yield start


@pytest.fixture
def rtsp_server(require_gst: None) -> Iterator[RtspServer]:
    """A running server that takes what is published to it over RTSP."""
    with RtspServer() as server:
        yield server


@pytest.fixture
def rtmp_server() -> Iterator[RtmpServer]:
    """A running nginx that takes RTMP: skip without it, fail in CI."""
    if not nginx_is_installed():
        _missing("nginx with its RTMP module", NGINX_INSTALL)
    with RtmpServer() as server:
        yield server


@pytest.fixture
def nginx() -> Iterator[Callable[[str], NginxProxy]]:
    """``nginx(locations)``: a running proxy: skip without it, fail in CI."""
    if not nginx_is_installed():
        _missing("nginx", NGINX_INSTALL)
    with ExitStack() as stack:
        yield lambda locations: stack.enter_context(NginxProxy(locations))


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The path of Debian's Chromium: skip without it, fail in CI."""
    path = shutil.which("chromium")
    return path or _missing("chromium", "apt-get install chromium")


@pytest.fixture(scope="session")
def require_players() -> None:
    """Ask for ffprobe and VLC: skip without them, fail in CI."""
    if not (shutil.which("ffprobe") and shutil.which("cvlc")):
        _missing("ffprobe or VLC", "apt-get install ffmpeg vlc-bin vlc-plugin-base")


@pytest.fixture
def turn_server() -> Iterator[TurnServer]:
    """A running coturn: skip without it, fail in CI."""
    if turn_path() is None:
        _missing("coturn", TURN_INSTALL)
    with TurnServer("a-password-of-coturn") as server:
        yield server


@pytest.fixture(scope="session")
def npm_script(pytestconfig: pytest.Config) -> Callable[[str, str], str]:
    """``npm_script("NAME@VERSION", "PATH")``: a file of a package: skip without npm, fail in CI."""
    if npm_path() is None:
        _missing("npm", NPM_INSTALL)
    return lambda package, name: npm_file(package, name, pytestconfig.cache.mkdir("npm"))


def _missing(what: str, command: str) -> str:
    reason = f"{what} is not installed: {command}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
