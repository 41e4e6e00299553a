"""A real TURN server, coturn, which relays between addresses of this machine."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from .mosquitto import free_port

__all__ = ["TURN_INSTALL", "TurnServer", "turn_path"]

TURN_INSTALL = "apt-get install coturn"
HOST = "127.0.0.1"
START_S = 10.0


def turn_path() -> str | None:
    return shutil.which("turnserver")


class TurnServer:
    """coturn on loopback; entered, it takes clients that know the one user and password."""

    user = "viewer"

    def __init__(self, password: str) -> None:
        self.password = password
        self.port = 0
        self._folder = tempfile.TemporaryDirectory(prefix="coturn-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"turn:{HOST}:{self.port}"

    def __enter__(self) -> Self:
        path = turn_path()
        if path is None:
            raise RuntimeError(f"coturn is not installed: {TURN_INSTALL}")
        self.port = free_port()
        folder = Path(self._folder.name)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(
                        path,
                        "-n",
                        "--no-cli",
                        "--lt-cred-mech",
                        "--realm=test",
                        "--log-file=stdout",
                    ),
                    *(f"--listening-ip={HOST}", f"--relay-ip={HOST}", "--allow-loopback-peers"),
                    *(f"--listening-port={self.port}", f"--user={self.user}:{self.password}"),
                    *("--no-tls", "--no-dtls", "--min-port=49152", "--max-port=49999"),
                    *(f"--pidfile={folder}/pid", f"--userdb={folder}/users", "--relay-threads=1"),
                ],
                stdout=log,
                stderr=log,
            )
        end_s = time.monotonic() + START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"coturn did not start: {(folder / 'log').read_text()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0
