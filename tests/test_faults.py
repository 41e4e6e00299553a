"""docs/faults.md: every fault has its bar and its tests, and the tests are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| fault |")
]
WALL_CLOCK = re.compile(r"\btime\.time\(|\btime_ns\(|datetime\.(now|utcnow|today)\(")

WALL_CLOCK_MODULES = {
    "fleet/cluster/host_actor.py",  # which of two runs of a host is the later one
    "fleet/gateway/fleet_node.py",  # since when it is in its state
    "serve/access/admission.py",  # until when a link holds
    "serve/api/latency.py",  # for clocks of others to compare
    "core/events/journal.py",  # when an event happened
    "mqtt/state_publisher.py",  # likewise
    "serve/api/events.py",  # likewise
    "serve/live/hls_store.py",  # likewise, and the times of segments
    "node/node.py",  # since when it is in its state
    "node/remote_stream.py",  # likewise
    "outputs/output.py",  # likewise
    "outputs/hls.py",  # numbers of segments go on above those of an earlier run
    "outputs/recorder.py",  # names of recordings
    "serve/api/recordings.py",  # how old a file is
    "cli/link.py",  # until when a link is good
    "serve/access/auth.py",  # likewise
    "serve/api/links.py",  # likewise
    "serve/access/secrets.py",  # until when a certificate is
}


@cache
def functions_of(name: str) -> set[str]:
    """The functions of a file below tests/."""
    tree = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_the_catalogue_is_whole() -> None:
    assert len(ROWS) >= 26


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_fault_has_a_bar_and_tests_that_are_there(row: list[str]) -> None:
    _fault, bar, tests, figure = row
    assert bar
    assert figure
    named = re.findall(r"`([^`]+)`", tests)
    assert named
    for test in named:
        file, _, function = test.partition("::")
        assert function in functions_of(file), test


def test_only_what_names_times_reads_the_wall_clock() -> None:
    """All else goes by the monotonic clock, and does not notice that the wall clock steps."""
    package = TESTS.parent / "streamsr"
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if WALL_CLOCK.search(path.read_text(encoding="utf-8"))
    }
    assert found == WALL_CLOCK_MODULES
