"""Ray with simulated hosts and no cameras, the processes of whose tasks can be killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

__all__ = ["ANSWER_S", "Hosts"]

ANSWER_S = 600.0  # of a command: a minute of video, on a busy machine
FOLDER = "RAY_TMPDIR"  # of the environment: what a cluster's processes are known by
UPSCALE = (sys.executable, "-m", "streamsr", "fleet", "upscale")
STARTED = """
import sys
from streamsr.fleet.environment import prepare
prepare("local")
from streamsr.fleet.cluster.local import LocalCluster
with LocalCluster(int(sys.argv[1])) as cluster:
    print(cluster.address, flush=True)
    sys.stdin.read()
"""


class Hosts:
    """A cluster of simulated hosts; leaves no process behind."""

    def __init__(self, count: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ar-", dir="/tmp"))  # names of sockets are short
        self.killed = 0  # processes of tasks
        self._environment = os.environ | {FOLDER: str(self.folder)}
        self._environment.pop("RAY_ADDRESS", None)
        self._cluster = subprocess.Popen(
            [sys.executable, "-c", STARTED, str(count)],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.address = ""

    def __enter__(self) -> Self:
        assert self._cluster.stdout is not None
        self.address = self._cluster.stdout.readline().decode().strip()
        assert self.address, "the cluster has not started"
        return self

    def __exit__(self, *_exc: object) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._cluster.communicate(timeout=30)
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._cluster.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def upscale(self, *words: str, kills: Sequence[float] = ()) -> subprocess.CompletedProcess[str]:
        """Runs ``fleet upscale`` with these words. Kills the process of a task so many seconds
        after it has begun, one after the other."""
        ended = threading.Event()
        killer = threading.Thread(target=self._kill, args=(kills, ended))
        killer.start()
        try:
            return subprocess.run(
                [*UPSCALE, *words],
                env=self._driver,
                capture_output=True,
                text=True,
                timeout=ANSWER_S,
                check=False,
            )
        finally:
            ended.set()
            killer.join()

    def upscale_killed_once(self, met: Callable[[], object], *words: str) -> None:
        """Runs it too, and kills it once that is so."""
        quiet = subprocess.DEVNULL
        with subprocess.Popen(
            [*UPSCALE, *words], env=self._driver, stdout=quiet, stderr=quiet
        ) as run:
            deadline = time.monotonic() + ANSWER_S
            while not met() and run.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            run.kill()

    @property
    def _driver(self) -> dict[str, str]:
        return self._environment | {"RAY_ADDRESS": self.address}

    def tasks(self) -> list[int]:
        """The processes that run a task now."""
        return [pid for pid in self._pids() if _text(pid, "cmdline").startswith("ray::archive")]

    def _kill(self, kills: Sequence[float], ended: threading.Event) -> None:
        for after_s in kills:
            while not self._kill_one(after_s):
                if ended.wait(0.01):
                    return

    def _kill_one(self, after_s: float) -> bool:
        """Kills what runs a task now, and so many seconds later, too."""
        tasks = self.tasks()
        time.sleep(after_s if tasks else 0)
        for pid in set(tasks) & set(self.tasks()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed += 1
                return True
        return False

    def _pids(self) -> list[int]:
        mark = f"{FOLDER}={self.folder}"
        numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in numbers if mark in _text(pid, "environ").split("\0")]


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
