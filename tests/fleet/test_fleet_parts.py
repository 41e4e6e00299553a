"""The parts of a fleet that need no cluster: without Ray, whose it is, what a machine is."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from streamsr.cli.main import app
from streamsr.core.config import parse
from streamsr.core.errors import UserError
from streamsr.core.settings import FleetSettings
from streamsr.fleet.cluster.running import unfollowed
from streamsr.fleet.environment import MODE, OF_A_LOCAL_CLUSTER, QUIET, prepare
from streamsr.fleet.host import machine
from streamsr.fleet.host.usage import CLOCK, STARTS_S, CpuUsage, Usage

BUSY = "import time\nbegan = time.monotonic()\nwhile time.monotonic() < began + 30: pass"


@pytest.fixture(autouse=True)
def kept_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    for name in (MODE, "RAY_ADDRESS", *OF_A_LOCAL_CLUSTER, *QUIET):
        monkeypatch.setenv(name, "as it was")
        monkeypatch.delenv(name)


NOT_INSTALLED = "Ray is not installed: pip install -U 'streamsr[fleet]'"
IN_THE_WAY = {
    "nothing": (None, NOT_INSTALLED),
    "a folder": (ModuleType("ray"), NOT_INSTALLED),
    "an old one": ("2.9.3", "got Ray 2.9.3, allowed is 2.60 and newer: pip install -U"),
}


@pytest.mark.parametrize("found", IN_THE_WAY)
@pytest.mark.parametrize(
    "words", [["status"], ["stop"], ["drain", "host"], ["run", "pipelines/fleet.toml"]]
)
def test_without_ray_it_says_what_to_install(
    words: list[str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray, said = IN_THE_WAY[found]
    if isinstance(ray, str):
        version, ray = ray, ModuleType("ray")
        monkeypatch.setattr(ray, "__version__", version, raising=False)
    monkeypatch.setitem(sys.modules, "ray", ray)
    result = CliRunner().invoke(app, ["fleet", *words])
    assert result.exit_code == 2
    assert f"fleet: {said}" in result.stderr.split("\n", 1)[0]


def test_without_rays_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(UserError, match=r"without its client, for 'ray://head:10001'"):
        prepare("ray://head:10001")


def test_nothing_else_needs_ray() -> None:
    script = "import sys; sys.modules['ray'] = None; import streamsr.cli.main, streamsr.node.node"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_who_joins_shows_a_token_but_for_a_local_cluster() -> None:
    prepare("local")
    assert os.environ[MODE] == "disabled"
    del os.environ[MODE]
    prepare("ray://head:10001")
    assert os.environ[MODE] == "token"
    del os.environ[MODE]
    prepare("auto")
    assert os.environ[MODE] == "token"
    os.environ[MODE] = "disabled"
    prepare("auto")
    assert os.environ[MODE] == "disabled", "what the user says is so"


@pytest.mark.parametrize("mode", ["token", None])
def test_a_cluster_of_this_machine_is_joined_as_it_was_started(
    mode: str | None, tmp_path: Path
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1\n")
    command = ["gcs_server", "-c", "print(flush=True); input()", "--gcs_server_port=1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    said = {MODE: mode} if mode is not None else {}
    with subprocess.Popen(command, executable="/usr/bin/python3", env=said, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs
        prepare("auto")
    assert os.environ[MODE] == (mode or "disabled")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"allowed are auto, local, a machine"):
        prepare("http://here")


def test_what_a_process_and_its_children_take_is_counted() -> None:
    usage = CpuUsage()
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        try:
            usage.look(process.pid)
            loads = []
            while not loads or (max(loads) < 50 and len(loads) < 100):
                process.poll()
                subprocess.run(["sleep", "0.1"], check=True)
                loads.append(usage.look(process.pid).taken_ms)
            assert 50 <= max(loads) <= 1500
        finally:
            os.killpg(process.pid, 9)
    assert usage.look(process.pid) == Usage(0)
    assert usage.look(None) == Usage(0)


def test_a_process_that_starts_is_told_from_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = CpuUsage()
    assert not usage.look(os.getpid()).starts, "this one has run for a while"
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        try:
            assert usage.look(process.pid).starts
            assert usage.look(os.getpid()).starts, "a process of its tree"
            later_s = time.clock_gettime(CLOCK) + STARTS_S + 1
            monkeypatch.setattr("streamsr.fleet.host.usage.clock_gettime", lambda _: later_s)
            assert not usage.look(process.pid).starts
        finally:
            process.kill()


def test_a_machine_holds_what_its_cores_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(machine, "CPU_MAX", str(limit))
    assert machine.capacity_of_machine() == cores * 1000
    limit.write_text("50000 100000\n")
    assert machine.capacity_of_machine() == 500
    for none in ("max 100000\n", "\n", "1 0\n"):
        limit.write_text(none)
        assert machine.capacity_of_machine() == cores * 1000
    assert machine.kind_of_machine() == machine.kind_of_machine() != ""


@pytest.mark.parametrize("words", [["status"], ["stop"], ["move", "gate", "host-1"]])
def test_only_run_begins_a_local_cluster(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["fleet", *words, "--address", "local"])
    assert result.exit_code == 2
    assert "'local', which fleet run alone begins: allowed are auto" in result.stderr


def test_what_a_running_fleet_does_not_follow_of_its_file_is_named() -> None:
    def read(group: dict[str, object], **more: object) -> FleetSettings:
        stream = {"name": "gate", "input": {"url": "demo"}}
        return parse({"fleet": group, "streams": [stream], **more}, FleetSettings, "here")

    before = read({"address": "local"})
    assert unfollowed(before, read({"address": "local", "reserve": 0.5})) == ""
    now = read({"address": "local", "hosts": 2}, serve={"listen": "127.0.0.1:0"})
    assert unfollowed(before, now) == "fleet.hosts, serve"
