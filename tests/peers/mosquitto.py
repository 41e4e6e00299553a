"""A real MQTT broker in a process of its own, to be killed, frozen and brought back."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

__all__ = ["MOSQUITTO_INSTALL", "Mosquitto", "mosquitto_path"]

MOSQUITTO_INSTALL = "apt-get install mosquitto"
HOST = "127.0.0.1"
START_S = 10.0


def mosquitto_path() -> str | None:
    """Where Debian's mosquitto is, which is not on everyone's PATH."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Mosquitto:
    """mosquitto on loopback; entered, it takes clients. Killed, it forgets all that it kept.

    The port is picked at the first start and stays. ``user`` asks for a password. ``certificate``
    and ``key``, files in PEM, make it speak TLS. ``persistent``, it remembers over a ``restart``.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        user: str | None = None,
        password: str = "",
        certificate: Path | None = None,
        key: Path | None = None,
        persistent: bool = False,
    ) -> None:
        self.port = port
        self.user = user
        self.password = password
        self.certificate = certificate
        self.key = key
        self.persistent = persistent
        self._folder = tempfile.TemporaryDirectory(prefix="mosquitto-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it listens; RuntimeError with its words if it does not."""
        path = mosquitto_path()
        if path is None:
            raise RuntimeError(f"mosquitto is not installed: {MOSQUITTO_INSTALL}")
        self.port = self.port or free_port()
        folder = Path(self._folder.name)
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*self._config(folder), ""]))
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen([path, "-c", config], stdout=log, stderr=log)
        end_s = time.monotonic() + START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > end_s:
                self.kill()
                raise RuntimeError(f"the broker did not start: {(folder / 'log').read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: the kernel closes its sockets, nothing is said on them."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and silent, new ones are accepted by the kernel alone."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Come back on the same port, after an orderly end if it still runs."""
        self._end(signal.SIGTERM)
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
        self._folder.cleanup()

    def _config(self, folder: Path) -> list[str]:
        lines = [f"listener {self.port} {HOST}", f"persistence {str(self.persistent).lower()}"]
        lines.append("max_queued_messages 100000")  # drops nothing of a flood
        lines += [f"persistence_location {folder}/"] if self.persistent else []
        lines += ["user root"] if os.geteuid() == 0 else []  # else it could not read the folder
        if self.user is None:
            lines.append("allow_anonymous true")
        else:
            passwords = folder / "passwords"
            command = ["mosquitto_passwd", "-b", "-c", passwords, self.user, self.password]
            subprocess.run(command, check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        if self.certificate is not None:
            lines += [f"certfile {self.certificate}", f"keyfile {self.key}"]
        return lines

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait()
            self._process = None


def free_port() -> int:
    """One that nothing listens on; mosquitto cannot pick one itself."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
