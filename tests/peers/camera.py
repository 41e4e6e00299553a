"""A real RTSP camera in a process of its own, to be killed, frozen and brought back."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

__all__ = ["GST_INSTALL", "RtspCamera", "gst_is_installed"]

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's: the one that has gi
SCRIPT = Path(__file__).with_name("rtsp_camera.py")
GST_INSTALL = (
    "apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp "
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
)


class RtspCamera:
    """gst-rtsp-server on loopback with one clip, looping; entered, it takes clients.

    Every client gets a keyframe at once and then 1 s of media a second. The port is picked at the
    first start and stays. ``user`` asks for a password, by ``auth`` "basic" or "digest".
    ``loss`` drops that share of the RTP packets, ``disorder`` delays that share by 2 to 25 ms, so
    that others overtake them. ``log`` gets a line for each frame that leaves: its place in the
    clip, and when, in Unix seconds.
    """

    def __init__(
        self,
        clip: Path,
        *,
        port: int = 0,
        user: str | None = None,
        password: str = "",
        auth: str = "basic",
        loss: float = 0.0,
        disorder: float = 0.0,
        log: Path | None = None,
    ) -> None:
        self.clip = clip
        self.port = port
        self.user = user
        self.password = password
        self.auth = auth
        self.loss = loss
        self.disorder = disorder
        self.log = log
        self._process: subprocess.Popen[str] | None = None
        self._stderr: IO[str] | None = None

    @property
    def url(self) -> str:
        """Where it is, with the right password."""
        return self.url_as(self.user, self.password)

    def url_as(self, user: str | None, password: str = "", port: int | None = None) -> str:
        """The same place for other credentials, or through a proxy's port."""
        login = "" if user is None else f"{quote(user, safe='')}:{quote(password, safe='')}@"
        return f"rtsp://{login}127.0.0.1:{port or self.port}/cam"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the camera is not running")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it listens; RuntimeError with its words if it does not."""
        command = [SYSTEM_PYTHON, str(SCRIPT), str(self.clip), "--port", str(self.port)]
        command += [f"--loss={self.loss}", f"--disorder={self.disorder}"]
        if self.log is not None:
            command.append(f"--log={self.log}")
        if self.user is not None:
            command += [f"--user={self.user}", f"--password={self.password}"]
            command += [f"--auth={self.auth}"]
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closes, and the camera ends, if we are killed
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("READY "):
            self._stderr.seek(0)
            words = self._stderr.read()
            self.stop()
            raise RuntimeError(f"the camera did not start: {words}")
        self.port = int(line.split()[1])

    def kill(self) -> None:
        """SIGKILL: the kernel closes its sockets, nothing is said on them."""
        self._signal(signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and silent, new ones are accepted by the kernel alone."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self, clip: Path | None = None) -> None:
        """Come back on the same port, after a kill if it still runs; ``clip`` changes the scene."""
        if self._process is not None:
            self.kill()
        self.clip = clip or self.clip
        self.start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


def gst_is_installed() -> bool:
    """Whether the system's Python can serve RTSP."""
    needs = "import gi; gi.require_version('GstRtspServer', '1.0')"
    elements = "qtdemux h264parse aacparse appsrc rtph264pay rtpmp4gpay netsim"
    check = (
        f"{needs}; from gi.repository import Gst; Gst.init(None); "
        f"assert all(Gst.ElementFactory.find(e) for e in '{elements}'.split())"
    )
    try:
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", check], capture_output=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
