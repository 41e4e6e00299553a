"""Servers to publish to, in processes of their own, to be killed, frozen and brought back."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

from .camera import SYSTEM_PYTHON

__all__ = ["NGINX_INSTALL", "NginxProxy", "RtmpServer", "RtspServer", "nginx_is_installed"]

SCRIPT = Path(__file__).with_name("rtsp_recorder.py")
NGINX_INSTALL = "apt-get install nginx-light libnginx-mod-rtmp"
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
NGINX = """
load_module {module};
daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
"""

HTTP = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; {locations} }}
}}
"""


class _Process:
    """A server on loopback whose port, picked at the first start, stays."""

    def __init__(self) -> None:
        self.port = 0
        self.folder = Path(tempfile.mkdtemp(prefix="peer-"))
        self._process: subprocess.Popen[str] | None = None
        self._stderr: IO[str] | None = None

    def start(self) -> None:
        """Start, and return when it listens; RuntimeError with its words if it does not."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL: the kernel closes its sockets, nothing is said on them."""
        if self._process is None or self._stderr is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            if pipe is not None:
                pipe.close()
        self._process = self._stderr = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and silent, new ones are accepted by the kernel alone."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self, command: list[str]) -> subprocess.Popen[str]:
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by kill()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closes when we are killed, and the RTSP server ends
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        return self._process

    def _failed(self) -> RuntimeError:
        assert self._stderr is not None
        self._stderr.seek(0)
        words = self._stderr.read()
        self.kill()
        return RuntimeError(f"{type(self).__name__} did not start: {words}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        os.kill(self._process.pid, number)


class RtspServer(_Process):
    """gst-rtsp-server that is published to: frame and audio at /live, a frame at /silent.

    ``user`` asks for a password, by digest. Each session's packets are in one of ``files()``.
    """

    def __init__(self, *, user: str | None = None, password: str = "") -> None:
        super().__init__()
        self.user = user
        self.password = password

    def url(self, place: str = "live", *, port: int | None = None) -> str:
        """Where to publish, through a proxy's port, say."""
        login = "" if self.user is None else f"{self.user}:{quote(self.password, safe='')}@"
        return f"rtsp://{login}127.0.0.1:{port or self.port}/{place}"

    def start(self) -> None:
        command = [SYSTEM_PYTHON, str(SCRIPT), str(self.folder), f"--port={self.port}"]
        command.append(f"--first={len(self.files()) + 1}")
        if self.user is not None:
            command += [f"--user={self.user}", f"--password={self.password}"]
        process = self._spawn(command)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("READY "):
            raise self._failed()
        self.port = int(line.split()[1])

    def files(self) -> list[Path]:
        """What the sessions brought, the newest last; they grow."""
        return sorted(self.folder.glob("*.mkv"), key=lambda path: int(path.stem))


class _Nginx(_Process):
    """nginx with a configuration of one server."""

    def _config(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        config = self.folder / "nginx.conf"
        config.write_text(self._config())
        # Unlike the other server, it does not see that we are gone.
        command = ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/nginx"]
        process = self._spawn([*command, "-p", str(self.folder), "-c", str(config)])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise self._failed()


class RtmpServer(_Nginx):
    """nginx with its RTMP module; whatever is published can be played at the same address."""

    def url(self, key: str = "cam", *, port: int | None = None) -> str:
        """Where to publish and to play, through a proxy's port, say."""
        return f"rtmp://127.0.0.1:{port or self.port}/live/{key}"

    def _config(self) -> str:
        return NGINX.format(module=MODULE, folder=self.folder, port=self.port)


class NginxProxy(_Nginx):
    """nginx in front of a web server, with these ``locations``, as its documentation has them."""

    def __init__(self, locations: str) -> None:
        super().__init__()
        self._locations = locations

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def _config(self) -> str:
        return HTTP.format(folder=self.folder, port=self.port, locations=self._locations)


def nginx_is_installed() -> bool:
    """Whether there is an nginx that takes RTMP."""
    return Path("/usr/sbin/nginx").exists() and MODULE.exists()
