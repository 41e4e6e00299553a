"""A run's log: a line for each validation, and a chart of them where matplotlib is installed."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import to_json

from streamsr.core.errors import OutputError, UserError
from streamsr.train.chart import check_charts, line_chart
from streamsr.train.whole_file import whole_file

__all__ = ["Progress", "RunLog"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come, once a step; that of a validation is a line of the log."""

    step: int
    loss: float  # of the step; the mean since the last validation where there is one
    psnr_db: float | None = None  # luma or RGB on the validation clips, where just measured
    gain_db: float | None = None  # of it over bicubic
    worst_db: float | None = None  # the gain of the clip, under the coding, where it is least
    learning_rate: float | None = None  # of the step after a validation


class RunLog:
    """``log.jsonl`` of a run's folder, NaN as null, with ``curves.png`` beside it."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / "log.jsonl"
        self._name = name
        self._charts = True
        try:
            check_charts()
        except UserError as error:  # the run does not need them
            self._charts = False
            log.warning("run %s: curves.png is not drawn: %s", name, error)

    def validations(self) -> list[Progress]:
        """Returns every validation, the first one first."""
        return [Progress(**json.loads(line)) for line in self._lines()]

    def append(self, progress: Progress) -> None:
        """Writes a validation down. Raises OutputError where that fails, or of its chart."""
        try:
            with self._path.open("ab") as file:
                file.write(to_json(progress, inf_nan_mode="null") + b"\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror}") from None
        if not self._charts:
            return
        rows = self.validations()
        curves = {
            "mean": [(row.step, row.gain_db or 0) for row in rows],
            "worst clip": [(row.step, row.worst_db or 0) for row in rows],
        }
        title = f"{self._name}: gain over bicubic"
        line_chart(self._path.with_name("curves.png"), title, ("step", "dB"), curves)

    def forget_after(self, step: int) -> None:
        """Removes the lines of steps that will be done again."""
        kept = [line for line in self._lines() if json.loads(line)["step"] <= step]
        if kept:
            with whole_file(self._path) as file:
                file.write(b"".join(kept))

    def _lines(self) -> list[bytes]:
        return self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
