"""One file or folder into one: made as in a batch, in segments, so that it goes on where it was."""

import os
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.progress import Progress

from streamsr.cli.batch.shown import Pace
from streamsr.cli.batch.stopping import stopped_by_signals
from streamsr.cli.run import NOT_WHOLE, run_here
from streamsr.cli.terminal import Lines, MadeFile, progress_bar, report, say, shown_fps, time_text
from streamsr.core.devices import pick_device
from streamsr.core.events import Event
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import PipelineSettings
from streamsr.core.status import StreamState, StreamStatus
from streamsr.files.half_done import folder_of, is_ours
from streamsr.files.plan import FileJob
from streamsr.files.record import OneRecord, state_of
from streamsr.media.addresses import InputKind, input_kind, is_folder_output, is_pipe_output
from streamsr.pipeline.check import check_settings

if TYPE_CHECKING:
    from streamsr.files.upscaling import HereUpscaling
    from streamsr.files.work import FileResult

__all__ = ["run_one"]

TICK_S = 1.0  # between two looks at what the journal is to tell


def run_one(settings: PipelineSettings, as_json: bool) -> NoReturn:
    """Upscales one source into one output in this process, prints its summary and exits.

    What is there becomes a file, or images, as in a batch; whatever else goes through one encoder,
    as ``run_here`` does it. Raises what the user has to correct before torch is imported.
    """
    path = settings.output.path
    if path is None or settings.sinks or not _is_whole(settings) or is_pipe_output(path):
        run_here(settings, as_json)
    _make(settings, Path(os.path.realpath(path)) if path.is_symlink() else path, as_json)


def _is_whole(settings: PipelineSettings) -> bool:
    """Whether the input is a file or a folder of images that is there, all of it."""
    given = settings.input
    kind = input_kind(given.url, given.live)
    if kind is InputKind.FOLDER:
        return os.path.isdir(given.url)
    return kind is InputKind.FILE and os.path.isfile(given.url) and not given.follow


def _make(settings: PipelineSettings, path: Path, as_json: bool) -> NoReturn:
    began_s, in_place = monotonic(), is_folder_output(path)
    job = FileJob(Path(settings.input.url), Path(path.name), in_place, in_place)
    record = OneRecord(path, inside=in_place)
    _check(settings, path, job, record)
    import torch

    from streamsr.engine.engines import Engines
    from streamsr.files.batch import Batch
    from streamsr.files.upscaling import HereUpscaling

    device = torch.device(pick_device(settings.model.device))
    with Engines(device) as engines, progress_bar() as bar, stopped_by_signals() as signals:
        here, shown = HereUpscaling(engines), _Shown(bar, settings.name)
        batch = Batch(
            *([job], path.parent, record, here, lambda job: settings, shown),
            stop=signals.stop,
            emit_of=lambda job: shown.hear,
        )
        result = batch.made(0, job)
    status = _status(settings, here, result, shown.frames, str(device))
    made = MadeFile(path, monotonic() - began_s, result.upscaled, result.damage)
    stopped, already = result.state == "stopped", result.state == "already done"
    if as_json or not (stopped or already):
        report([status], as_json, made=made)
    if already:
        say(
            f"{path}: it is done already, nothing is made again: {result.frames} frames "
            f"{result.size} by {result.model}; --overwrite makes it again"
        )
    for damage in result.damage:
        say(f"{settings.name}: damaged: {damage}")
    if stopped:
        say(f"{path}: stopped after {shown.frames} frames: the same command goes on there")
    raise typer.Exit(signals.code or (0 if result.frames and not result.damage else NOT_WHOLE))


def _check(settings: PipelineSettings, path: Path, job: FileJob, record: OneRecord) -> None:
    """Raises UserError for what is to be corrected. What is done, or half done in its place, is no
    other file of that name."""
    said = record.of(job.output)
    is_made = said is not None and said.get("state") == state_of(path)
    overwrite = settings.output.overwrite or is_made or (job.in_place and _is_begun(path))
    output = settings.output.model_copy(update={"overwrite": overwrite, "path": path})
    check_settings(settings.model_copy(update={"output": output}))
    from streamsr.cli.probe import first_frame

    first_frame(settings)


def _is_begun(folder: Path) -> bool:
    """Whether images are half done in a folder."""
    try:
        return is_ours(folder_of(folder, inside=True))
    except OSError:
        return False


class _Shown:
    """How far the one file is, in a bar or in lines, and what happens to it in the log."""

    def __init__(self, bar: Progress, name: str) -> None:
        self.frames = 0  # that are done
        self._journal, self._name = logged_journal(), name
        self._bar, self._lines = bar, Lines()
        self._task = bar.add_task(name, total=None, fps="")
        self._pace = Pace()
        self._told_s = monotonic()

    def hear(self, event: Event) -> None:
        """Takes an event. Any thread may call it."""
        self._journal(replace(event, stream=self._name))

    def begins(self, number: int, job: FileJob) -> None:
        pass

    def says(self, message: str) -> None:
        say(message)

    def is_at(self, number: int, frames: int, of: int | None) -> None:
        self.frames = frames
        made, spent_s = self._pace.at(frames)
        now_s = monotonic()
        if not made or now_s - self._told_s < TICK_S:
            return
        self._told_s = now_s
        self._journal.tick()
        rate = made / spent_s
        fps = f"{shown_fps(rate)} fps"
        self._bar.update(self._task, completed=frames, total=of, fps=fps)
        left = f", {time_text((of - frames) / rate)} left" if of and of > frames else ""
        self._lines.now_and_then(f"{frames}{f' of {of}' if of else ''} frames, {fps}{left}")

    def ends(self, number: int, result: "FileResult") -> None:
        pass


def _status(
    settings: PipelineSettings,
    here: "HereUpscaling",
    result: "FileResult",
    frames: int,
    device: str,
) -> StreamStatus:
    """What a stream says of itself that has ended, of a file."""
    meter, models = here.meter, here.models
    model = models.current if models else None
    p50_ms, p99_ms = meter.latency_ms()
    before, _, after = result.size.partition(" -> ")
    frames = result.frames or frames
    return StreamStatus(
        name=settings.name,
        state=StreamState.ENDED,
        model=result.model or (model.name if model else ""),
        precision=model.engine.model.precision if model else "",
        why=models.why if models else "",
        device=device,
        input=before or meter.input,
        output=after or meter.output,
        fps=meter.throughput(),
        latency_p50_ms=p50_ms,
        latency_p99_ms=p99_ms,
        frames_in=frames,
        frames_out=frames,
        time_jumps=result.jumps,
        moved=result.moved,
        not_kept=result.notes,
    )
