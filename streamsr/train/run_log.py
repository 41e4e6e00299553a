"""A run's log: a line for each validation, and a chart of them where matplotlib is installed."""

import json
import logging
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from streamsr.core.errors import UserError
from streamsr.train.chart import check_charts, line_chart

__all__ = ["Progress", "RunLog"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come, once a step."""

    step: int
    loss: float  # of the step; the mean since the last validation where there is one
    psnr: float | None = None  # luma or RGB dB on the validation clips, where just measured
    gain: float | None = None  # of it over bicubic
    worst: float | None = None  # the gain of the clip, under the coding, where it is least


class RunLog:
    """``log.jsonl`` of a run's folder, with ``curves.png`` beside it."""

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
        keys = ("psnr_db", "gain_db", "worst_db")
        return [
            Progress(line["step"], line["loss"], *(line.get(key) for key in keys))
            for line in self._lines()
        ]

    def append(self, progress: Progress, learning_rate: float) -> None:
        """Writes a validation down. Raises OutputError where its chart cannot be written."""
        line = {
            "step": progress.step,
            "loss": None if isnan(progress.loss) else progress.loss,
            "psnr_db": progress.psnr,
            "gain_db": progress.gain,
            "worst_db": progress.worst,
            "learning_rate": learning_rate,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if not self._charts:
            return
        rows = self.validations()
        curves = {
            "mean": [(row.step, row.gain or 0) for row in rows],
            "worst clip": [(row.step, row.worst or 0) for row in rows],
        }
        title = f"{self._name}: gain over bicubic"
        line_chart(self._path.with_name("curves.png"), title, ("step", "dB"), curves)

    def forget_after(self, step: int) -> None:
        """Removes the lines of steps that will be done again."""
        lines = [json.dumps(line) + "\n" for line in self._lines() if line["step"] <= step]
        if lines:
            self._path.write_text("".join(lines), encoding="utf-8")

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
