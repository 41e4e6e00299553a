"""A fleet of simulated hosts on this machine, whose processes can be killed and frozen."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import av
import tomli_w

__all__ = ["Player", "RunningFleet", "Watcher", "children_of", "is_running"]

ANSWER_S = 60.0  # for a command, on a busy machine
DEMO = {"input": {"url": "demo"}, "model": {"name": "bicubic"}}
FOLDER = "RAY_TMPDIR"  # of the environment: what a fleet's processes are known by


class RunningFleet:
    """``streamsr fleet run`` with ``address = "local"``, in a process; leaves none behind."""

    def __init__(self, cameras: Mapping[str, Mapping[str, Any]], hosts: int) -> None:
        """``cameras``: settings by name, over those of a ``bicubic`` demo."""
        self.folder = Path(tempfile.mkdtemp(prefix="fl-", dir="/tmp"))  # names of sockets are short
        self.config = self.folder / "fleet.toml"
        self._group = {"address": "local", "hosts": hosts}
        self._environment = os.environ | {
            FOLDER: str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }
        self._environment.pop("RAY_ADDRESS", None)
        self._run: subprocess.Popen[bytes] | None = None
        self.write(cameras)

    def write(self, cameras: Mapping[str, Mapping[str, Any]]) -> None:
        """Has the file say that these are to run."""
        streams = [{"name": name, **DEMO, **settings} for name, settings in cameras.items()]
        self.config.write_text(tomli_w.dumps({"fleet": self._group, "streams": streams}))

    def join(self, address: str) -> None:
        """Has it run on that cluster, whose processes were started with its ``FOLDER``, instead."""
        self._group = {"address": address}
        data = tomllib.loads(self.config.read_text())
        self.config.write_text(tomli_w.dumps({**data, "fleet": self._group}))

    def __enter__(self) -> Self:
        with (self.folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "streamsr", "fleet", "run", str(self.config)]
            self._run = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(self, *_exc: object) -> None:
        assert self._run is not None
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._run.wait(ANSWER_S)
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._run.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def terminate(self) -> None:
        """Asks ``fleet run`` to end, as systemd and Kubernetes do."""
        assert self._run is not None
        self._run.send_signal(signal.SIGTERM)

    @property
    def exit_code(self) -> int | None:
        assert self._run is not None
        return self._run.poll()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs ``streamsr fleet`` with these words."""
        command = [sys.executable, "-m", "streamsr", "fleet", *words]
        return subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What ``fleet status --json`` says; {} while there is no fleet."""
        done = self.command("status", "--json")
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def until(self, met: Callable[[dict[str, Any]], object], within_s: float = 90.0) -> Any:
        """Waits for a status that meets this, and gives what ``met`` does of it."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            status = self.status()
            if status and (found := met(status)):
                return found
        raise TimeoutError(f"{self.status()}\n{self.log()}")

    def hosts(self) -> dict[str, int]:
        """The process of each host that is up: that of its Ray node."""
        return {host["name"]: host["pid"] for host in self.status()["hosts"] if is_up(host)}

    def pid_of(self, title: str) -> int:
        """The newest process of this fleet that shows such a title."""
        found = [pid for pid in self.pids() if title in _text(pid, "cmdline")]
        assert found, f"no process {title!r}"
        return max(found)

    def pids(self) -> list[int]:
        """Every process of this fleet."""
        mark = f"{FOLDER}={self.folder}"
        numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [n for n in numbers if mark in _text(n, "environ").split("\0") and is_running(n)]


class Watcher:
    """Keeps when frames were seen, in a thread, for as long as the test runs."""

    def __init__(self) -> None:
        self.last = float("-inf")  # monotonic, of the newest frame
        self._ended = threading.Event()
        self._worst = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self) -> None:
        """Measures gaps from now on; what is interrupted already counts from now, too."""
        self._worst, self.last = 0.0, max(self.last, time.monotonic())

    @property
    def gap(self) -> float:
        """The longest time without a frame since ``begin``, in seconds."""
        return max(self._worst, time.monotonic() - self.last)

    @property
    def plays(self) -> bool:
        return time.monotonic() - self.last < 0.7

    def end(self) -> None:
        """Its thread ends with the next frame, or with the server."""
        self._ended.set()

    def _saw(self) -> None:
        """Notes that a frame was seen just now."""
        now = time.monotonic()
        self._worst = max(self._worst, now - self.last)
        self.last = now

    def _watch(self) -> None:
        raise NotImplementedError


class Player(Watcher):
    """Plays an address."""

    def __init__(self, url: str) -> None:
        self._url = url
        super().__init__()

    def _watch(self) -> None:
        while not self._ended.is_set():
            with (
                suppress(av.FFmpegError, OSError, IndexError),
                av.open(self._url, timeout=(5.0, 30.0)) as container,  # it stays through a move
            ):
                for packet in container.demux(video=0):
                    if packet.size:
                        self._saw()
                    if self._ended.is_set():
                        return
            self._ended.wait(0.05)


def is_up(host: Mapping[str, Any]) -> bool:
    return bool(host["state"] == "up")


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    return _text(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def children_of(root: int) -> list[int]:
    """A process with all that it started, and all that those did."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        fields = _text(int(path.name), "stat").rpartition(")")[2].split()
        if len(fields) > 1:
            parents[int(path.name)] = int(fields[1])
    tree, grown = [root], [root]
    while grown:
        grown = [pid for pid, parent in parents.items() if parent in grown and pid not in tree]
        tree += grown
    return tree


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
