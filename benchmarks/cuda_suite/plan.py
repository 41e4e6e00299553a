"""The checks, and how they run: each in a process of its own, its row written when it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Literal

__all__ = ["CHECKS", "Check", "Report", "Row", "Verdict", "run_checks"]

ROOT = Path(__file__).resolve().parents[2]
SPARE_S = 5.0  # of the whole time, for the page

DRY = (
    "**No figure here is a GPU's**: a dry run has a device of CPU tensors, whose streams are "
    "threads and whose graphs are functions. Its bars of speed are not judged."
)

Verdict = Literal["passed", "failed", "not judged"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: ``work`` is "module:function", which takes a Place and returns a Row's dict."""

    name: str
    bar: str
    work: str
    limit_s: float  # on a device; a dry run is far below


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a check."""

    name: str
    bar: str
    verdict: Verdict
    got: str
    spent_s: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


def _check(name: str, bar: str, module: str, limit_s: float) -> Check:
    work = f"benchmarks.cuda_suite.{module}:{name.replace('-', '_')}"
    return Check(name, bar, work, limit_s)


CHECKS = (
    _check("equality", "frames are the CPU's within 1 level", "frames", 80),
    _check("fp16", "float16 within 0.05 dB of float32", "frames", 50),
    _check("kernels", "CuPy's kernels no slower than torch's, in a captured graph", "kernels", 60),
    _check("overlap", "the pipeline at least 95 % of its slowest stage", "rates", 90),
    _check("matrix", "share of the device's matrix rate, as it is", "rates", 60),
    _check("ring", "EDVR by its ring is its plain form, within 1 level, and quicker", "ring", 80),
    _check("memory", "flat over 5,000 frames", "memory", 90),
    _check("full", "full memory: less at once, then plain scaling; no frame lost", "memory", 60),
)


class Report:
    """The rows so far, as ``NAME.json`` and ``NAME.md`` in ``folder``; written with each one."""

    def __init__(self, folder: Path, name: str, command: str, place: str) -> None:
        self._files = folder / f"{name}.json", folder / f"{name}.md"
        self._command = command
        self._place = place
        self.machine = ""  # in words, as the first check found it
        self.rows: list[Row] = []

    @property
    def passed(self) -> bool:
        return all(row.verdict != "failed" for row in self.rows)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        known = {
            "command": self._command,
            "place": self._place,
            "device_figures": self._place == "cuda",
            "machine": self.machine,
            "rows": [asdict(row) for row in self.rows],
        }
        texts = json.dumps(known, indent=2) + "\n", self.page()
        self._files[0].parent.mkdir(parents=True, exist_ok=True)
        for file, text in zip(self._files, texts, strict=True):
            whole = file.with_suffix(file.suffix + ".part")
            whole.write_text(text, encoding="utf-8")
            whole.replace(file)  # a kill leaves the rows before

    def page(self) -> str:
        dry = self._place != "cuda"
        title = "The plan of the CUDA checks, run on the host" if dry else "The CUDA path, checked"
        lines = [f"# {title}", "", f"{self.machine}. `{self._command}`", ""]
        lines += [DRY, ""] if dry else []
        lines += ["| check | bar | verdict | got | s |", "|---|---|---|---|---|"]
        for row in self.rows:
            got = row.got.replace("|", "\\|")
            lines.append(f"| {row.name} | {row.bar} | {row.verdict} | {got} | {row.spent_s:.0f} |")
        for row in self.rows:
            lines += _figures(row)
        return "\n".join(lines) + "\n"


def run_checks(checks: Sequence[Check], place: str, total_s: float, report: Report) -> None:
    """Runs the checks one after the other; each has its limit, and what is left of ``total_s``."""
    ends_s = monotonic() + total_s - SPARE_S
    for check in checks:
        report.add(_run(check, place, min(check.limit_s, ends_s - monotonic()), report))


def _run(check: Check, place: str, limit_s: float, report: Report) -> Row:
    if limit_s <= 0:
        return Row(check.name, check.bar, "failed", "no time was left")
    began_s = monotonic()
    with TemporaryDirectory(prefix="streamsr-cuda-") as scratch:
        given = Path(scratch) / "row.json"
        errors = Path(scratch) / "errors"
        why = _ended(check, place, given, errors, limit_s)
        spent_s = round(monotonic() - began_s, 1)
        if why or not given.is_file():
            told = errors.read_text(errors="replace").strip().splitlines()
            got = ": ".join([why or "it gave nothing", *told[-1:]])
            return Row(check.name, check.bar, "failed", got, spent_s)
        known = json.loads(given.read_text(encoding="utf-8"))
    report.machine = report.machine or known["machine"]
    return Row(check.name, check.bar, known["verdict"], known["got"], spent_s, known["figures"])


def _ended(check: Check, place: str, given: Path, errors: Path, limit_s: float) -> str:
    """Runs a check in a process of its own, its errors into a file; returns what went wrong."""
    command = [sys.executable, "-m", "benchmarks.cuda_suite.child", check.work, place, str(given)]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with (
        errors.open("wb") as told,
        subprocess.Popen(
            command, stdout=told, stderr=told, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"not done in {limit_s:.0f} s"
        finally:
            _kill(process)
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with {code}" if code else ""


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process and what it started, if anything of it is still there."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _figures(row: Row) -> list[str]:
    if not row.figures:
        return []
    lines = ["", f"## {row.name}", "", "| figure | value |", "|---|---|"]
    return lines + [f"| {name} | {value} |" for name, value in row.figures.items()]
