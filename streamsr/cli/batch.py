"""``upscale`` of many files: progress, the summary, and how it is stopped."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import NoReturn

import typer
from rich.progress import Progress

from streamsr.cli.run import HARD_STOP_S
from streamsr.cli.terminal import (
    INTERRUPTED,
    Lines,
    print_result,
    progress_bar,
    say,
    size_text,
    time_text,
)
from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError, OutputError
from streamsr.core.redact import redact
from streamsr.core.settings import PipelineSettings
from streamsr.files.plan import FileJob, Plan, holds_videos, planned
from streamsr.files.record import Record
from streamsr.files.unused import refuse_unused
from streamsr.media.addresses import STDIO, SUFFIXES, is_folder_output, is_pipe_output
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import members

__all__ = ["are_several", "is_batch", "run_batch"]

FAILED = 1  # the exit code where a file is not done, or not whole
MOST_SAID = 10  # of what was left out, by name

SettingsOf = Callable[[Path, Path], PipelineSettings]
"""The settings that make an output of a source."""


def are_several(inputs: Sequence[str]) -> bool:
    """Whether it is several files, or a folder of videos."""
    first = Path(inputs[0])
    return len(inputs) > 1 or (first.is_dir() and holds_videos(first))


def is_batch(inputs: Sequence[str], output: str) -> bool:
    """As ``are_several``. Raises UserError where the output is none for that."""
    several = len(inputs) > 1
    if not are_several(inputs):
        return False
    what = f"{len(inputs)} inputs" if several else f"the folder of videos {inputs[0]}"
    path = Path(output)
    if "://" in output or is_pipe_output(path) or not is_folder_output(path):
        raise OutputError(f"output {redact(output)}: got {what}, allowed is a folder for them")
    for given in inputs if several else ():
        if "://" in given or given == STDIO:
            raise InputError(
                f"input {redact(given)}: got {what}, allowed among several are files and folders"
            )
    return True


def run_batch(
    inputs: Sequence[str],
    folder: Path,
    settings_of: SettingsOf,
    suffix: str | None,
    as_json: bool,
    kept: Sequence[str] = SUFFIXES,
) -> NoReturn:
    """Upscales files and folders into ``folder``, prints what has become of each and exits.

    ``suffix`` and ``kept`` are those of ``planned``. Raises what the user has to correct before
    anything is begun.
    """
    jobs = planned([Path(given) for given in inputs], folder, suffix, kept=kept).jobs
    if not jobs:
        raise InputError(f"input {', '.join(inputs)}: there is no video and no image in it")
    settings = settings_of(jobs[0].source, folder / jobs[0].output)
    refuse_unused(settings, jobs, folder)
    _check(settings)
    with Record(folder) as record:
        plan = planned([Path(given) for given in inputs], folder, suffix, record.outputs, kept)
        code = _run(plan, folder, record, settings_of, as_json)
    sys.stdout.flush()
    raise typer.Exit(code)


def _check(settings: PipelineSettings) -> None:
    """Raises ModelError or UserError, before torch is imported."""
    pick_device(settings.model.device)
    if settings.model.name != AUTO:
        members(settings.model.name, settings.model.folders)


def _run(
    plan: Plan,
    folder: Path,
    record: Record,
    settings_of: SettingsOf,
    as_json: bool,
) -> int:
    import torch

    from streamsr.engine.engines import Engines
    from streamsr.files.batch import Batch
    from streamsr.files.work import FileResult

    began_s = monotonic()
    device = torch.device(pick_device(settings_of(Path("."), folder).model.device))
    with Engines(device) as engines, progress_bar() as bar:
        watcher = _Shown(plan, bar)
        batch = Batch(
            plan.jobs,
            folder,
            record,
            engines,
            lambda job: settings_of(job.source, folder / job.output),
            watcher,
        )
        asked = _stopped_by_signals(batch.stop)
        results: list[FileResult] = batch.run()
    elapsed_s = monotonic() - began_s
    begun = {result.input for result in results}
    waiting = [str(job.source) for job in plan.jobs if str(job.source) not in begun]
    _summarise(results, waiting, plan.left_out, elapsed_s, as_json)
    if asked:
        return INTERRUPTED if signal.SIGINT in asked else FAILED
    whole = all(r.state in ("done", "already done") and not r.damage for r in results)
    return 0 if whole else FAILED


def _stopped_by_signals(stop: threading.Event) -> list[int]:
    """Sets ``stop`` at SIGINT and SIGTERM, and ends the process at the second one; returns those
    that came."""
    received: list[int] = []

    def end_now() -> None:
        say(f"streamsr: it has not stopped within {HARD_STOP_S:g} s: ended")
        os._exit(INTERRUPTED)

    def interrupted(number: int, frame: object) -> None:
        if received:
            os._exit(INTERRUPTED)
        received.append(number)
        stop.set()
        timer = threading.Timer(HARD_STOP_S, end_now)
        timer.daemon = True
        timer.start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    return received


class _Shown:
    """How far a batch is, in bars or in lines. One file at a time."""

    def __init__(self, plan: Plan, bar: Progress) -> None:
        self._jobs = plan.jobs
        self._sizes = [_bytes_of(job.source) for job in plan.jobs]
        self._bar, self._lines = bar, Lines()
        self._all = bar.add_task("all", total=max(1, sum(self._sizes)), fps="")
        self._one = bar.add_task("", total=None, fps="")
        self._number = 0
        self._before = 0  # bytes of the inputs that are over
        self._spent_s, self._worked = 0.0, 0.0  # on what this run has done, and its bytes
        self._began_s, self._first = monotonic(), 0  # of the file; frames that were done already

    def begins(self, number: int, job: FileJob) -> None:
        self._number, self._first, self._began_s = number, -1, monotonic()
        self._bar.reset(self._one, description=job.source.name, total=None)

    def says(self, message: str) -> None:
        say(message)

    def is_at(self, frames: int, of: int | None) -> None:
        if self._first < 0:
            self._first, self._began_s = frames - 1, monotonic()
        spent_s = max(1e-3, monotonic() - self._began_s)
        rate = (frames - self._first) / spent_s
        share = min(1.0, frames / of) if of else 0.5
        size = self._sizes[self._number]
        worked = self._worked + size * (frames - self._first) / (of or 2 * frames)
        left = sum(self._sizes[self._number :]) - size * share
        all_s = (self._spent_s + spent_s) * left / worked if worked else None
        fps = f"{rate:.1f} fps"
        self._bar.update(self._one, completed=frames, total=of, fps=fps)
        self._bar.update(self._all, completed=self._before + size * share)
        one_s = max(0, of - frames) / rate if of else None
        self._lines.now_and_then(
            f"{self._number + 1} of {len(self._jobs)} {self._jobs[self._number].source}: "
            f"{frames}{f' of {of}' if of else ''} frames, {fps}"
            f"{f', {time_text(one_s)} left' if one_s is not None else ''}"
            f"{f', {time_text(all_s)} for all' if all_s is not None else ''}"
        )

    def ends(self, result: object) -> None:
        from streamsr.files.work import FileResult

        assert isinstance(result, FileResult)
        size = self._sizes[self._number]
        if result.upscaled and result.frames:
            self._spent_s += result.elapsed_s
            self._worked += size * result.upscaled / result.frames
        self._before += size
        self._bar.update(self._all, completed=self._before)
        say(f"{self._number + 1} of {len(self._jobs)} {_told(result)}")


def _told(result: object) -> str:
    """A file in a line."""
    from streamsr.files.work import FileResult

    assert isinstance(result, FileResult)
    if result.state == "failed":
        return f"{result.input}: failed: {result.why}"
    if result.state == "stopped":
        return f"{result.input}: stopped: the same command goes on there"
    made = f"{result.frames} frames {result.size} by {result.model}, {size_text(result.bytes)}"
    if result.state == "done":
        rate = result.upscaled / max(result.elapsed_s, 1e-3)
        made += f", in {time_text(result.elapsed_s)} ({rate:.1f} fps)"
    notes = f"; not kept: {'; '.join(result.notes)}" if result.notes else ""
    damage = f"; damaged: {'; '.join(result.damage)}" if result.damage else ""
    return f"{result.input} -> {result.output}: {result.state}, {made}{notes}{damage}"


def _summarise(
    results: Sequence[object],
    waiting: Sequence[str],
    left_out: Sequence[str],
    elapsed_s: float,
    as_json: bool,
) -> None:
    from streamsr.files.work import FileResult

    files = [one for one in results if isinstance(one, FileResult)]
    by = {s: [r for r in files if r.state == s] for s in STATES}
    damaged = [r for r in files if r.damage and r.state != "failed"]
    if as_json:
        told = {
            "files": [asdict(one) | {"elapsed_s": round(one.elapsed_s, 2)} for one in files],
            "done": len(by["done"]),
            "already_done": len(by["already done"]),
            "failed": [one.input for one in by["failed"]],
            "damaged": [one.input for one in damaged],
            "not_begun": list(waiting),
            "left_out": list(left_out),
            "frames": sum(one.upscaled for one in files),
            "bytes": sum(one.bytes for one in by["done"]),
            "elapsed_s": round(elapsed_s, 2),
        }
        print_result(told, None, as_json=True)
        return
    frames, made = sum(one.upscaled for one in files), sum(one.bytes for one in by["done"])
    already = f", {len(by['already done'])} done already" if by["already done"] else ""
    say(
        f"{len(by['done'])} of {len(files) + len(waiting)} files done{already}, {frames} frames, "
        f"{size_text(made)}, in {time_text(elapsed_s)}"
    )
    if left_out:
        more = len(left_out) - MOST_SAID
        also = f"; and {more} more (--json names them)" if more > 0 else ""
        say(f"left out: {'; '.join(left_out[:MOST_SAID])}{also}")
    for one in damaged:
        say(f"damaged: {one.input}: {'; '.join(one.damage)}")
    for one in by["failed"]:
        say(f"failed: {one.input}: {one.why}")
    if waiting or by["stopped"]:
        say("stopped: the same command goes on where it was")


STATES = ("done", "already done", "failed", "stopped")


def _bytes_of(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(one.stat().st_size for one in os.scandir(path))
        return path.stat().st_size
    except OSError:
        return 0
