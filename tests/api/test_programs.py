"""Programs as people write them: they run, warnings being errors, and pass mypy's strict checks."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_runs(program: Path, clip: Callable[..., Path], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), str(clip())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.timeout(600)  # mypy reads torch's stubs first
def test_programs_and_examples_pass_strict_type_checks(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.S)
    for number, text in enumerate(examples):
        (tmp_path / f"example_{number}.py").write_text(text, encoding="utf-8")
    for program in PROGRAMS:
        (tmp_path / program.name).write_text(program.read_text(encoding="utf-8"), "utf-8")
    cache = pytestconfig.cache
    assert cache is not None
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(cache.mkdir("mypy"))]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "."],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
