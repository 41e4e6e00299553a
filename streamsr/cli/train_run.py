"""``train`` and ``eval`` at the terminal: progress bars around the loop and the evaluation."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from rich.console import Group
from rich.progress import TaskID

from streamsr.cli.terminal import console, progress_bar
from streamsr.core.config import load
from streamsr.core.devices import pick_device
from streamsr.core.errors import ConfigError, OutputError, UserError
from streamsr.train.before_after import degradation_sheet
from streamsr.train.chart import Series, chart, write_picture
from streamsr.train.evaluation import DEGRADATIONS, Scored, evaluate
from streamsr.train.finetune import finetune
from streamsr.train.loop import Progress, Trainer
from streamsr.train.results import Evaluation, evaluation_tables, markdown
from streamsr.train.settings import TrainSettings
from streamsr.zoo.loading import choose
from streamsr.zoo.registry import find

__all__ = ["run_degradation", "run_evaluation", "run_finetuning", "run_training"]


def run_degradation(config: Path, overrides: list[str], rows: int, output: Path) -> None:
    """Show what the ``[data.degrade]`` of a training file does, as a picture at ``output``."""
    torch.set_num_threads(1)
    settings = load(config, TrainSettings, overrides)
    if settings.data.degrade is None:
        raise ConfigError(f"{config}: got no [data.degrade], allowed is a file that has one")
    scale = settings.model.facts.scale
    picture = degradation_sheet(
        settings.data.train, settings.data.degrade, scale, settings.seed, rows
    )
    write_picture(output, picture)
    console.print(f"the sheet is in {output}", markup=False, highlight=False, soft_wrap=True)


def run_training(config: Path, overrides: list[str], threads: int) -> dict[str, Any]:
    """Train as ``config`` says, on from the last checkpoint; give where the model lies."""
    torch.set_num_threads(threads)
    settings = load(config, TrainSettings, overrides)
    with progress_bar() as bar:
        reading = bar.add_task("reading", total=None, fps="")
        trainer = Trainer(settings, lambda clip: bar.update(reading, description=f"reading {clip}"))
        bar.remove_task(reading)
        last = trainer.last_validation()
        if trainer.step:
            console.print(f"goes on at step {trainer.step}/{settings.steps}", highlight=False)
        task = bar.add_task(settings.name, total=settings.steps, completed=trainer.step, fps="")

        def report(progress: Progress) -> None:
            nonlocal last
            bar.update(task, completed=progress.step, fps=f"loss {progress.loss:.5f}")
            if progress.psnr is not None:
                last = progress
                _say(progress, settings.steps)

        folder = trainer.run(report)
    console.print(f"the model is in {folder}", markup=False, highlight=False)
    return {
        "model": str(folder),
        "steps": trainer.step,
        "psnr_db": last and last.psnr,
        "gain_db": last and last.gain,
    }


def run_finetuning(
    init: str, footage: Path, minutes: float, name: str | None, folders: list[Path], threads: int
) -> dict[str, Any]:
    """Train a model further on clips of one's own; give where it lies, and what it gained."""
    torch.set_num_threads(threads)
    entry = find(init, folders)
    with progress_bar() as bar:
        reading = bar.add_task("reading", total=None, fps="")
        task = bar.add_task("training", total=None, fps="")

        def report(progress: Progress, steps: int) -> None:
            loss = f"loss {progress.loss:.5f}"
            bar.update(task, completed=progress.step, total=steps, fps=loss)

        tuned = finetune(
            entry,
            footage,
            minutes=minutes,
            name=name or f"{entry.name}-{footage.resolve().name}",
            runs=Path("runs"),
            prepared=lambda clip: bar.update(reading, description=f"reading {clip}"),
            report=report,
        )
    before, after = tuned.before.gain, tuned.after.gain
    stays, use = f"{entry.name} stays the better one", f"use it with --model {tuned.folder}"
    console.print(
        f"on the held-out end of the clips: {before:+.3f} dB over bicubic before, "
        f"{after:+.3f} dB after: {after - before:+.3f} dB\n"
        f"{use if after > before else stays}",
        markup=False,
        highlight=False,
    )
    return {
        "model": str(tuned.folder),
        "steps": tuned.steps,
        "gain_before_db": before,
        "gain_db": after,
        "improvement_db": after - before,
    }


def _say(progress: Progress, steps: int) -> None:
    console.print(
        f"step {progress.step}/{steps}: loss {progress.loss:.5f}, validation "
        f"{progress.psnr:.3f} dB, {progress.gain:+.3f} dB over bicubic, at worst "
        f"{progress.worst:+.3f} dB",
        markup=False,
        highlight=False,
    )


def run_evaluation(
    target: Path,
    model: str,
    folders: list[Path],
    device: str,
    frames: int | None,
    *,
    against: Sequence[str] = (),
    degrade: str = "bicubic",
    report: Path | None = None,
) -> tuple[dict[str, Any], Group]:
    """Score ``model`` beside bicubic on ``target``; give the result and its tables.

    ``report`` is a folder that gets them as Markdown and JSON, and a chart of quality over time.
    """
    if degrade not in DEGRADATIONS:
        allowed = " and ".join(DEGRADATIONS)
        raise UserError(f"--degrade: got {degrade!r}, allowed are {allowed}")
    place = torch.device(pick_device(device))
    if place.type == "cpu":
        torch.set_num_threads(1)  # threads inside one convolution wait for each other
    tasks: dict[str, TaskID] = {}
    with progress_bar() as bar:

        def told(step: Scored) -> None:
            if step.clip not in tasks:
                tasks[step.clip] = bar.add_task(step.clip, total=step.frames, fps="")
            bar.update(tasks[step.clip], completed=step.frame, total=step.frames)

        result = evaluate(
            target,
            choose(place, model, folders),
            place,
            against=[find(name, folders) for name in against],
            degrade=degrade,
            max_frames=frames,
            report=told,
        )
    if report is not None:
        _write_report(result, report)
    return result.to_json(), Group(*evaluation_tables(result))


def _write_report(result: Evaluation, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "eval.md").write_text(markdown(result), encoding="utf-8")
        (folder / "eval.json").write_text(json.dumps(result.to_json(), indent=1), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"report {folder}: cannot be written: {error.strerror}") from None
    dots = [
        Series(name, [(scores.ms, scores.psnr_db)], joined=False)
        for name, scores in result.by_model().items()
        if isfinite(scores.psnr_db)
    ]
    if dots:
        title = f"luma PSNR over time: {result.degrade} input"
        write_picture(folder / "eval.png", chart(dots, title, "ms a frame", "dB"))
