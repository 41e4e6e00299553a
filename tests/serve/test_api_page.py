"""What docs/api.md shows is run: each command against a server, in its order."""

import asyncio
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from peers.steered_node import SteeredNode

from streamsr.core.settings import StreamSettings
from streamsr.serve.app import Server

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SHOWN = "127.0.0.1:8080"


def commands() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [shlex.split(line[2:]) for line in lines if line.startswith("$ curl")]


@pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed: apt-get install curl"
)
async def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "gate-20261130T040000Z.mp4").write_bytes(b"recorded" * 100)
    (door,) = re.findall(r'`(\{"name": "door".*\})`', PAGE.read_text(encoding="utf-8"))
    (tmp_path / "door.json").write_text(door)
    streams = [
        {"name": "gate", "input": {"url": "demo"}, "record": {"folder": str(recordings)}},
        {"name": "yard", "input": {"url": "demo"}},
    ]
    node = SteeredNode(*(StreamSettings.model_validate(stream) for stream in streams))
    answers: dict[str, bytes] = {}
    async with Server(node.served, node=node) as server:
        for command in commands():
            local = [word.replace(SHOWN, f"127.0.0.1:{server.port}") for word in command]
            running = await asyncio.create_subprocess_exec(
                *local, "--fail", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
            )
            answers[command[-1]], _ = await running.communicate()
            timed = "--max-time" in command
            assert running.returncode == (28 if timed else 0), command  # 28: its time was over
    assert len(answers) >= 12
    assert b"retry: " in answers[f"http://{SHOWN}/api/v1/events"]
    assert json.loads(answers[f"http://{SHOWN}/api/v1/cameras"])["cameras"][0]["name"] == "gate"
    assert list(node.streams) == ["gate", "yard"], "the camera that was added is removed"
    assert (tmp_path / "gate.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (tmp_path / "gate-20261130T040000Z.mp4").read_bytes() == b"recorded" * 100
    assert len((tmp_path / "begin.mp4").read_bytes()) == 800
