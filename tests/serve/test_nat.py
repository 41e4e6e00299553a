"""Behind a router that passes ports on, as Docker does and a 1:1 NAT of a cloud."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers.nat import NAT_INSTALL, OUTSIDE, behind_nat, in_namespace, nat_is_possible

SITE = Path(__file__).with_name("nat_site.py")


@pytest.fixture(autouse=True)
def needs_namespaces() -> None:
    if not nat_is_possible():
        pytest.skip(f"network namespaces cannot be made here: {NAT_INSTALL}")


def command(name: str, *words: str) -> list[str]:
    return in_namespace(name, sys.executable, str(SITE), *words)


@pytest.mark.parametrize(("announce", "plays"), [([OUTSIDE], True), ([], False)])
def test_video_passes_where_the_outside_is_announced(announce: list[str], plays: bool) -> None:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    with (
        behind_nat(8080, "50000:50019"),
        subprocess.Popen(
            command("server", "serve", *announce),
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "serving\n"
            watched = subprocess.run(
                command("client", "watch"),
                check=False,
                capture_output=True,
                text=True,
                env=environment,
                timeout=60,
            )
        finally:
            server.kill()
    assert (OUTSIDE in watched.stdout) == plays
    assert ("frame 640" in watched.stdout) == plays, watched.stderr[-1000:]
