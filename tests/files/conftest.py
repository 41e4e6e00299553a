"""Batches of one file, stopped at any frame."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from streamsr.core.config import parse
from streamsr.core.settings import PipelineSettings, StreamSettings
from streamsr.engine.engines import Engines
from streamsr.files.batch import Batch
from streamsr.files.plan import FileJob, planned
from streamsr.files.record import Record
from streamsr.files.upscaling import HereUpscaling
from streamsr.files.work import FileResult

Run = Callable[..., tuple[list[FileResult], "Watched"]]


class Watched:
    """Hears what a batch says, and stops it at a frame."""

    def __init__(self, stop_at: int | None) -> None:
        self.said: list[str] = []
        self.frames = 0
        self.batch: Batch | None = None
        self._stop_at = stop_at

    def begins(self, number: int, job: FileJob) -> None:
        pass

    def says(self, message: str) -> None:
        self.said.append(message)

    def is_at(self, number: int, frames: int, of: int | None) -> None:
        self.frames += 1
        if self._stop_at is not None and frames >= self._stop_at:
            assert self.batch is not None
            self.batch.stop.set()

    def ends(self, number: int, result: FileResult) -> None:
        pass


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    with Engines(torch.device("cpu")) as made:
        yield made


@pytest.fixture
def run(engines: Engines) -> Run:
    """``run(source, out, stop_at=None, **settings)``: one run of a batch over one input."""

    def go(
        source: Path, out: Path, stop_at: int | None = None, **more: dict[str, object]
    ) -> tuple[list[FileResult], Watched]:
        def settings_of(job: FileJob) -> StreamSettings:
            data = {
                "input": {"url": str(job.source)},
                "output": {"path": out / job.output, **more.get("output", {})},
                "model": {"name": "bicubic", **more.get("model", {})},
                "encoder": more.get("encoder", {}),
                "limits": more.get("limits", {}),
            }
            return parse(data, PipelineSettings, "test")

        watched = Watched(stop_at)
        with Record(out) as record:
            here = HereUpscaling(engines)
            jobs = planned([source], out, known=record.outputs).jobs
            batch = watched.batch = Batch(jobs, out, record, here, settings_of, watched)
            return batch.run(), watched

    return go
