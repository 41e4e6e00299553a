"""Files of which something was changed: no abort, no hang, no traceback, and what says 0 plays."""

import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from soak import counts, figure
from soak.mutation import mutate
from soak.originals import ORIGINALS, write_originals
from soak.upscale_files import remove

CHILD = [sys.executable, "-m", "soak.upscale_files"]
LIMIT_S = 20.0  # a file
START_S = 100.0  # until the process is ready
TESTS = Path(__file__).parents[1]


class Upscaler:
    """A process that upscales files, started again when it has died or hung."""

    def __init__(self, log: Path) -> None:
        self._log = log  # of its stderr
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end()

    def upscale(self, source: Path, target: Path) -> dict[str, object]:
        """Returns what became of it; ``fault`` says what is wrong."""
        if self._process is None:
            self._process = self._started()
            self._line(START_S)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{source}\t{target}\n".encode())
        self._process.stdin.flush()
        try:
            result: dict[str, object] = json.loads(self._line(LIMIT_S))
        except (TimeoutError, EOFError) as error:
            self._end()
            return {"fault": f"{error}\n{self._log.read_text()[-3000:]}"}
        return result

    def _line(self, limit_s: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        read = b""
        while not read.endswith(b"\n"):
            if not select.select([self._process.stdout], [], [], limit_s)[0]:
                raise TimeoutError("it hangs")
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            if not more:
                raise EOFError(f"it died: {self._process.wait()}")
            read += more
        return read

    def _started(self) -> "subprocess.Popen[bytes]":
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        with self._log.open("w") as log:
            return subprocess.Popen(
                CHILD,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONPATH": paths, "PYTHONFAULTHANDLER": "1"},
            )

    def _end(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
        self._process = None


def outcomes(folder: Path, numbers: range) -> Iterator[tuple[str, dict[str, object]]]:
    """Yields the seed of each mutation, and what became of it; what is at fault stays there."""
    originals = write_originals(folder / "originals")
    with Upscaler(folder / "stderr") as upscaler:
        for number in numbers:
            original = originals[number % len(originals)]
            seed = f"{number} {original.name}"
            source = folder / f"{number}-{original.name}"
            mutate(original, source, seed)
            result = upscaler.upscale(source, folder / f"{number}.out.mp4")
            if not result["fault"]:
                remove(source)
            yield seed, result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


def test_the_originals_themselves_are_upscaled(folder: Path) -> None:
    with Upscaler(folder / "log") as upscaler:
        for path in write_originals(folder):
            result = upscaler.upscale(path, folder / "out.mp4")
            assert result["fault"] == "", path.name
            assert result["code"] == 0, f"{path.name}: {result['said']}"


@counts(len(ORIGINALS), 2000, hours=4)
def test_mutations_of_each(folder: Path, count: int) -> None:
    assert faults_of(folder, count) == {}


def faults_of(folder: Path, count: int) -> dict[str, object]:
    """What went wrong with so many mutations, by their seeds."""
    codes: Counter[object] = Counter()
    faults: dict[str, object] = {}
    for seed, result in outcomes(folder, range(count)):
        codes[result.get("code")] += 1
        if result["fault"]:
            faults[seed] = result["fault"]
            figure(f"{folder}: {seed}", str(result["fault"]))
    figure("mutated files", f"{count}, of which {codes[0]} exit 0, {len(faults)} at fault")
    return faults
