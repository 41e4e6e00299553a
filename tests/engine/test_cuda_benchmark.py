"""benchmarks/cuda.py: the plan runs whole on the host, and no check takes another with it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "cuda.py"
sys.path.insert(0, str(ROOT))

from benchmarks.cuda_suite.places import CudaPlace, HostPlace, Outcome, Place  # noqa: E402
from benchmarks.cuda_suite.plan import CHECKS, Check, Report, Row, run_checks  # noqa: E402


def run(*arguments: str, results: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *arguments, "--results", str(results)]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, env=hidden, capture_output=True, text=True, check=False, timeout=290
    )


@pytest.mark.timeout(300)  # nine processes, on a machine that may be busy
def test_a_dry_run_runs_the_whole_plan(tmp_path: Path) -> None:
    done = run("--dry-run", results=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("*-cuda-dry-run.json")
    known = json.loads(file.read_text(encoding="utf-8"))
    assert [row["name"] for row in known["rows"]] == [check.name for check in CHECKS]
    assert {row["verdict"] for row in known["rows"]} == {"passed", "not judged"}
    assert known["device_figures"] is False
    page = file.with_suffix(".md").read_text(encoding="utf-8")
    assert "No figure here is a GPU's" in page
    assert done.stdout == page


@pytest.mark.cuda
@pytest.mark.timeout(700)
def test_a_device_passes(cuda: torch.device, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=620)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    done = run(results=tmp_path)
    assert done.returncode == 2
    assert "there is no CUDA device here" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_plan_fits_into_its_ten_minutes() -> None:
    assert sum(check.limit_s for check in CHECKS) <= 590


def test_the_script_does_not_hide_the_package_cuda(tmp_path: Path) -> None:
    """CuPy and torch import NVIDIA's package of that name."""
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "__init__.py").write_text("")
    told = "import cuda; print(cuda.__file__)"
    (tmp_path / "sitecustomize.py").write_text(
        f"import atexit\natexit.register(lambda: exec({told!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == str(tmp_path / "cuda" / "__init__.py")


def passing(place: Place) -> Outcome:
    return Outcome("passed", "well", {"a": 1})


def raising(place: Place) -> Outcome:
    raise RuntimeError("the device is unwell\nTwice")


def hanging(place: Place) -> Outcome:
    time.sleep(600)
    return Outcome("passed", "")


def crashing(place: Place) -> Outcome:
    os.kill(os.getpid(), signal.SIGSEGV)
    return Outcome("passed", "")


def rows_of(report: Report, *works: str, limit_s: float = 60.0) -> list[Row]:
    module = Path(__file__).stem
    checks = [Check(work, "its bar", f"{module}:{work}", limit_s) for work in works]
    run_checks(checks, "host", 100.0, report)
    return report.rows


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return Report(tmp_path, "name", "command", "host")


def test_each_check_writes_its_row_whatever_becomes_of_others(
    report: Report, tmp_path: Path
) -> None:
    rows = rows_of(report, "raising", "crashing", "passing")
    assert [(row.name, row.verdict) for row in rows] == [
        ("raising", "failed"),
        ("crashing", "failed"),
        ("passing", "passed"),
    ]
    assert rows[0].got.endswith("Twice")
    assert rows[1].got.startswith("ended by SIGSEGV")
    assert not report.passed
    known: dict[str, Any] = json.loads((tmp_path / "name.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in known["rows"]] == [row.name for row in rows]
    assert "| passing | its bar | passed | well |" in (tmp_path / "name.md").read_text()


def test_a_check_that_hangs_is_ended_in_its_time(report: Report) -> None:
    began_s = time.monotonic()
    (row,) = rows_of(report, "hanging", limit_s=3.0)
    assert time.monotonic() - began_s < 30
    assert (row.verdict, row.got) == ("failed", "not done in 3 s")


def test_no_check_begins_when_the_time_is_over(report: Report) -> None:
    run_checks([Check("late", "bar", "nowhere:late", 60.0)], "host", 1.0, report)
    assert (report.rows[0].verdict, report.rows[0].got) == ("failed", "no time was left")


def test_only_a_device_is_judged_by_its_speed() -> None:
    assert [HostPlace().judged(well) for well in (True, False)] == ["not judged"] * 2
    assert [CudaPlace().judged(well) for well in (True, False)] == ["passed", "failed"]
