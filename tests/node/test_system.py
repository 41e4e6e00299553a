"""Nodes on systems as they are found: any umask, a root that cannot be written, no home."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
READ_ONLY = (  # the system, and what is mounted apart of it
    "mount -o remount,ro,bind /; "
    "for m in {}; do mountpoint -q $m && mount -o remount,ro,bind $m; done; "
    'exec "$@"'
)


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-m", "mount", "-o", "remount,ro,bind", "/"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


needs_root = pytest.mark.skipif(not can_mount(), reason="needs root, for the mount namespace")


def node(
    file: Path, *, shell: str = 'exec "$@"', seconds: float = 4, **more: str
) -> tuple[int, str]:
    """Runs a node by a shell; returns its exit code and what it said on stderr."""
    command = [sys.executable, "run_stream.py", "node", str(file), "--seconds", f"{seconds}"]
    found = subprocess.run(
        ["bash", "-c", shell, "bash", *command],
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=90,
    )
    return found.returncode, found.stderr


def write(folder: Path, more: str) -> Path:
    file = folder / "node.toml"
    file.write_text(
        '[serve]\nlisten = "127.0.0.1:0"\n[[streams]]\nname = "gate"\ninput.url = "demo"\n'
        f'model.name = "bicubic"\n{more}\n'
    )
    return file


@pytest.mark.parametrize("umask", ["000", "077"])
def test_recordings_and_hls_are_for_their_owner_and_group(tmp_path: Path, umask: str) -> None:
    outputs = f'hls = {{ folder = "{tmp_path}/hls" }}\nrecord = {{ folder = "{tmp_path}/video" }}'
    file = write(tmp_path, f"{outputs}\nlimits.frames = 75")
    code, said = node(file, shell=f'umask {umask}; exec "$@"', seconds=80)
    assert code == 0, said
    made = [*tmp_path.glob("hls/*"), *tmp_path.glob("video/*")]
    assert {".m4s", ".m3u8", ".mp4"} <= {path.suffix for path in made}
    assert {stat.filemode(path.stat().st_mode) for path in made} == {"-rw-r-----"}
    folders = (tmp_path / "hls", tmp_path / "video")
    assert {stat.filemode(path.stat().st_mode) for path in folders} == {"drwxr-x---"}


def read_only(*mounts: str) -> str:
    """A shell's script that runs its arguments where nothing can be written, these included."""
    script = READ_ONLY.format(" ".join(mounts))
    return f'exec unshare -m bash -c {shlex.quote(script)} bash "$@"'


@needs_root
@pytest.mark.parametrize("mounts", [[], ["/dev/shm"]], ids=["memory", "nothing"])
def test_a_system_that_cannot_be_written_serves(tmp_path: Path, mounts: list[str]) -> None:
    file = write(tmp_path, "hls = {}")
    code, said = node(file, shell=read_only("/tmp", "/var/tmp", "/root", *mounts))
    assert code == 0, said
    assert ("temporary files are kept in memory, in /dev/shm" in said) == (not mounts)
    assert "Traceback" not in said


@needs_root
def test_a_folder_that_cannot_be_written_is_said_before_anything_listens(tmp_path: Path) -> None:
    file = write(tmp_path, f'record = {{ folder = "{tmp_path}/video" }}')
    code, said = node(file, shell=read_only("/tmp", "/var/tmp", "/root", "/dev/shm"))
    assert said.endswith(f"output {tmp_path}/video: cannot be written: Read-only file system\n")
    assert (code, said.count("\n")) == (2, 1)


@needs_root
def test_a_user_without_name_and_home_runs_it() -> None:
    shell = 'exec env -u HOME -u XDG_CACHE_HOME setpriv --reuid 54321 --regid 0 --clear-groups "$@"'
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        code, said = node(write(Path(folder), "hls = {}"), shell=shell)
    assert code == 0, said
    assert "Traceback" not in said
