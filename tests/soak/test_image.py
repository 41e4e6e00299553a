"""The image of deploy/ is built, and runs as any user on a root that cannot be written.

Its base is Debian by debootstrap, so that no registry of images is needed; STREAMSR_IMAGES is a
folder that keeps base and wheels from one run to the next.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from peers.mosquitto import free_port
from peers.waiting import until

from soak import soak

ROOT = Path(__file__).parents[2]
TOOLS = ("buildah", "debootstrap", "setpriv", "unshare")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
USER = 54_321  # that no image knows
BASE = "localhost/bookworm"
# What a runtime does: a root that is only read, memory where the image's volumes are, no privilege.
CONTAINER = """
set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --bind /dev "$ROOT/dev"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$ROOT/tmp"
mount -t tmpfs -o size=64m,mode=0770,gid=0 tmpfs "$ROOT/var/lib/streamsr"
exec chroot "$ROOT" setpriv --reuid "$USER_ID" --regid 0 --clear-groups --no-new-privs \
    --bounding-set=-all env -i {environment} sh -c 'cd /var/lib/streamsr && exec "$@"' sh "$@"
"""

pytestmark = [
    *soak(2),
    pytest.mark.skipif(bool(MISSING), reason="apt install buildah debootstrap util-linux"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root: debootstrap and mount do"),
]


class Images:
    """buildah with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._storage = ["--storage-driver=vfs", f"--root={folder}/root", f"--runroot={folder}/run"]

    def buildah(self, *command: str | Path) -> str:
        said = subprocess.run(
            ["buildah", *self._storage, *command],
            check=False,
            capture_output=True,
            text=True,
        )
        assert said.returncode == 0, said.stderr[-2000:]
        return said.stdout.strip()

    def make_base(self) -> None:
        """Makes Debian's base image, unless it is there."""
        if BASE in self.buildah("images", "--format", "{{.Name}}"):
            return
        system = self._folder / "debian"
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", system], check=True)
        container = self.buildah("from", "scratch")
        self.buildah("copy", "-q", container, system, "/")
        self.buildah("commit", "-q", "--rm", container, BASE)
        shutil.rmtree(system)

    def wheels(self) -> Path:
        """A folder of all that the package needs, by this machine's pip."""
        folder = self._folder / "wheels"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
        needed += ["-c", str(ROOT / "constraints.txt")]
        if not folder.exists():
            subprocess.run([*pip, "download", "-q", "-d", folder, *needed], check=True)
        return folder

    def build(self, name: str) -> None:
        """Builds the image as docs/deploy.md does where there is no network."""
        self.make_base()
        arguments = [
            "-q",
            "--format=docker",
            "--isolation=chroot",
            f"--volume={self.wheels()}:/wheels:ro",
        ]
        arguments += [f"--build-arg=BASE={BASE}"]
        arguments += ["--build-arg=PIP=--no-index --find-links=/wheels"]
        file = ROOT / "deploy" / "Containerfile"
        self.buildah("bud", *arguments, "-t", name, "-f", file, ROOT)

    def settings(self, name: str) -> dict[str, Any]:
        """What the image says of user, environment, entry point and health."""
        found = json.loads(self.buildah("inspect", "--type=image", name))
        settings: dict[str, Any] = found["Docker"]["config"]
        return settings

    @contextmanager
    def root(self, name: str) -> Iterator[Path]:
        container = self.buildah("from", name)
        try:
            yield Path(self.buildah("mount", container))
        finally:
            self.buildah("umount", container)
            self.buildah("rm", container)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    kept = os.environ.get("STREAMSR_IMAGES")
    folder = Path(kept).absolute() if kept else tmp_path_factory.mktemp("images")
    folder.mkdir(parents=True, exist_ok=True)
    made = Images(folder)
    made.build("streamsr")
    return made


def inside(root: Path, settings: dict[str, Any], *command: str) -> subprocess.Popen[str]:
    """Starts a command as a runtime would, without a name and a home for its user."""
    environment = " ".join(map(shlex.quote, settings["Env"]))
    script = CONTAINER.format(environment=environment)
    return subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            script,
            "-",
            *command,
        ],
        env={"PATH": os.environ["PATH"], "ROOT": str(root), "USER_ID": str(USER)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_image_says_how_it_runs(images: Images) -> None:
    settings = images.settings("streamsr")
    assert settings["User"] == "10001:0"
    assert settings["Entrypoint"] == ["streamsr"]
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Healthcheck"]["Test"] == ["CMD", "healthcheck"]
    assert not any("TOKEN" in variable or "PASSWORD" in variable for variable in settings["Env"])


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for its end; returns its exit code and what it said."""
    said = process.communicate(timeout=120)[0]
    return process.returncode, said


def stopped(unshared: subprocess.Popen[str]) -> str:
    """Sends SIGTERM, as runtimes do, to what runs inside; returns what it said."""
    children = Path(f"/proc/{unshared.pid}/task/{unshared.pid}/children").read_text()
    for child in children.split():
        os.kill(int(child), signal.SIGTERM)
    return ended(unshared)[1]


async def test_any_user_runs_the_demo_on_a_root_that_cannot_be_written(images: Images) -> None:
    settings, port = images.settings("streamsr"), free_port()
    with images.root("streamsr") as root:
        health = ["env", f"STREAMSR_LIVEZ=http://127.0.0.1:{port}/livez", "healthcheck"]
        assert ended(inside(root, settings, *health))[0] == 1, "before it runs"
        trial = inside(root, settings, "sh", "-c", "id -u; id -g; touch /etc/x || touch /tmp/x")
        _, said = ended(trial)
        assert said.startswith(f"{USER}\n0\n")
        assert "Read-only file system" in said
        demo = inside(root, settings, *settings["Entrypoint"], "demo", f"--listen=127.0.0.1:{port}")
        try:
            base = f"http://127.0.0.1:{port}"
            await until(lambda: answers(f"{base}/livez"), 120)
            assert ended(inside(root, settings, *health))[0] == 0
            await until(lambda: answers(f"{base}/readyz"), 300)
        finally:
            said = stopped(demo)
        assert demo.returncode == 0, said
        assert "Traceback" not in said


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
