"""``upscale`` of many files: progress, the summary, and how it is stopped."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import typer

from streamsr.cli.batch.shown import OneByOne, summarise
from streamsr.cli.run import HARD_STOP_S
from streamsr.cli.terminal import (
    INTERRUPTED,
    progress_bar,
    say,
)
from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError
from streamsr.core.settings import PipelineSettings
from streamsr.files.half_done import folder_of, half_done_in
from streamsr.files.plan import Plan, planned
from streamsr.files.record import Record, outputs_of
from streamsr.files.unused import refuse_unused
from streamsr.media.addresses import SUFFIXES
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import members

if TYPE_CHECKING:
    from streamsr.files.upscaling import FileUpscaling
    from streamsr.files.work import Watcher

__all__ = ["Workplace", "plan_of", "run_batch", "run_plan"]

FAILED = 1  # the exit code where a file is not done, or not whole

SettingsOf = Callable[[Path, Path], PipelineSettings]
"""The settings that make an output of a source."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a batch is done by."""

    upscaling: "FileUpscaling"
    watcher: "Watcher"
    at_once: int = 1  # files that are in work


WorkplaceOf = Callable[[Plan, PipelineSettings], AbstractContextManager[Workplace]]
"""Opens one for a plan, by the settings that its files have in common."""


def run_batch(
    inputs: Sequence[str],
    folder: Path,
    settings_of: SettingsOf,
    suffix: str | None,
    as_json: bool,
    kept: Sequence[str] = SUFFIXES,
) -> NoReturn:
    """Upscales files and folders into ``folder``, prints what has become of each and exits.

    This process does it. ``suffix`` and ``kept`` are those of ``planned``. Raises what the user has
    to correct before anything is begun.
    """

    def plan(known: Mapping[str, str]) -> Plan:
        return plan_of(inputs, folder, suffix, known, kept)

    pick_device(settings_of(Path("."), folder).model.device)  # or say that there is none
    run_plan(plan, folder, settings_of, as_json, _here)


def plan_of(
    inputs: Sequence[str],
    folder: Path,
    suffix: str | None,
    known: Mapping[str, str],
    kept: Sequence[str],
) -> Plan:
    """As ``planned``. Raises InputError where there is nothing to do, too."""
    plan = planned([Path(given) for given in inputs], folder, suffix, known, kept)
    if not plan.jobs:
        raise InputError(f"input {', '.join(inputs)}: there is no video and no image in it")
    return plan


def run_plan(
    planned_by: Callable[[Mapping[str, str]], Plan],
    folder: Path,
    settings_of: SettingsOf,
    as_json: bool,
    workplace: WorkplaceOf,
) -> NoReturn:
    """As ``run_batch``; ``planned_by`` gives the plan by the outputs that sources had before."""
    first = planned_by(outputs_of(folder))
    settings = settings_of(first.jobs[0].source, folder / first.jobs[0].output)
    refuse_unused(settings, first.jobs, folder)
    _check(settings)
    with Record(folder) as record:
        plan = planned_by(record.outputs)
        code = _run(plan, folder, record, settings_of, as_json, workplace)
    sys.stdout.flush()
    raise typer.Exit(code)


def _check(settings: PipelineSettings) -> None:
    """Raises ModelError, before torch is imported."""
    if settings.model.name != AUTO:
        members(settings.model.name, settings.model.folders)


def _run(
    plan: Plan,
    folder: Path,
    record: Record,
    settings_of: SettingsOf,
    as_json: bool,
    workplace: WorkplaceOf,
) -> int:
    from streamsr.files.batch import Batch

    began_s = monotonic()
    with workplace(plan, settings_of(Path("."), folder)) as place:
        batch = Batch(
            plan.jobs,
            folder,
            record,
            place.upscaling,
            lambda job: settings_of(job.source, folder / job.output),
            place.watcher,
            at_once=place.at_once,
        )
        asked = _stopped_by_signals(batch.stop)
        results = batch.run()
    elapsed_s = monotonic() - began_s
    begun = {result.input for result in results}
    waiting = [str(job.source) for job in plan.jobs if str(job.source) not in begun]
    going_on = {r.input for r in results if r.state == "stopped"} | {*waiting}
    kept = {folder_of(folder / j.output) for j in plan.jobs if str(j.source) in going_on}
    left = [str(one) for one in half_done_in(folder) if one not in kept]
    summarise(results, waiting, plan.left_out, left, elapsed_s, as_json)
    if asked:
        return INTERRUPTED if signal.SIGINT in asked else FAILED
    whole = all(r.state in ("done", "already done") and not r.damage for r in results)
    return 0 if whole else FAILED


@contextmanager
def _here(plan: Plan, settings: PipelineSettings) -> Iterator[Workplace]:
    """This process."""
    import torch

    from streamsr.engine.engines import Engines
    from streamsr.files.upscaling import HereUpscaling

    device = torch.device(pick_device(settings.model.device))
    with Engines(device) as engines, progress_bar() as bar:
        yield Workplace(HereUpscaling(engines), OneByOne(plan, bar))


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
