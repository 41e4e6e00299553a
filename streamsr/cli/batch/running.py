"""``upscale`` of many files: what is asked for, and by what it is done."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import typer

from streamsr.cli.batch.shown import OneByOne, summarise
from streamsr.cli.batch.stopping import stopped_by_signals
from streamsr.cli.terminal import progress_bar
from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError
from streamsr.core.settings import PipelineSettings
from streamsr.files.half_done import folder_of, half_done_in
from streamsr.files.plan import Plan, planned
from streamsr.files.record import Kept, OneRecord, Record, outputs_of
from streamsr.files.unused import refuse_unused
from streamsr.media.addresses import CONTROL, SUFFIXES, check_name
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
    as_json: bool,
    suffix: str | None,
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
    record_of: Callable[[Path], Record | OneRecord] = Record,
) -> NoReturn:
    """As ``run_batch``; ``planned_by`` gives the plan by the outputs that sources had before, and
    ``record_of`` the record of the folder."""
    first = planned_by(outputs_of(folder))
    check_name(str(folder))
    named = [job for job in first.jobs if not CONTROL.search(str(job.source))]  # others fail alone
    jobs = named or first.jobs
    settings = settings_of(jobs[0].source, folder / jobs[0].output)
    refuse_unused(settings, jobs, folder)
    _check(settings)
    with record_of(folder) as record:
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
    record: Kept,
    settings_of: SettingsOf,
    as_json: bool,
    workplace: WorkplaceOf,
) -> int:
    from streamsr.files.batch import Batch

    began_s = monotonic()
    with workplace(plan, settings_of(Path("."), folder)) as place, stopped_by_signals() as signals:
        batch = Batch(
            plan.jobs,
            folder,
            record,
            place.upscaling,
            lambda job: settings_of(job.source, folder / job.output),
            place.watcher,
            at_once=place.at_once,
            stop=signals.stop,
        )
        results = batch.run()
    elapsed_s = monotonic() - began_s
    begun = {result.input for result in results}
    waiting = [str(job.source) for job in plan.jobs if str(job.source) not in begun]
    going_on = {r.input for r in results if r.state == "stopped"} | {*waiting}
    kept = {folder_of(folder / j.output) for j in plan.jobs if str(j.source) in going_on}
    left = [str(one) for one in half_done_in(folder) if one not in kept]
    summarise(results, waiting, plan.left_out, left, elapsed_s, as_json)
    whole = all(r.state in ("done", "already done") and not r.damage for r in results)
    return signals.code or (0 if whole else FAILED)


@contextmanager
def _here(plan: Plan, settings: PipelineSettings) -> Iterator[Workplace]:
    """This process."""
    import torch

    from streamsr.engine.engines import Engines
    from streamsr.files.upscaling import HereUpscaling

    device = torch.device(pick_device(settings.model.device))
    with Engines(device) as engines, progress_bar() as bar:
        yield Workplace(HereUpscaling(engines), OneByOne(plan, bar))
