"""``train`` and ``eval`` at the terminal: progress bars around the loop and the evaluation."""

from pathlib import Path
from typing import Any

import torch
from rich.progress import TaskID
from rich.table import Table

from streamsr.config import load
from streamsr.engine.engines import pick_device
from streamsr.errors import ConfigError
from streamsr.terminal import console, progress_bar
from streamsr.train.before_after import degradation_sheet
from streamsr.train.chart import write_picture
from streamsr.train.evaluation import Scored, evaluate
from streamsr.train.loop import Progress, Trainer
from streamsr.train.results import evaluation_table
from streamsr.train.settings import TrainSettings
from streamsr.zoo.registry import choose

__all__ = ["run_degradation", "run_evaluation", "run_training"]


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
    trainer = Trainer(settings)
    last = trainer.last_validation()
    if trainer.step:
        console.print(f"goes on at step {trainer.step}/{settings.steps}", highlight=False)
    with progress_bar() as bar:
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


def _say(progress: Progress, steps: int) -> None:
    console.print(
        f"step {progress.step}/{steps}: loss {progress.loss:.5f}, validation "
        f"{progress.psnr:.3f} dB, {progress.gain:+.3f} dB over bicubic",
        markup=False,
        highlight=False,
    )


def run_evaluation(
    target: Path, model: str, folders: list[Path], device: str, frames: int | None
) -> tuple[dict[str, Any], Table]:
    """Score ``model`` beside bicubic on ``target``; give the result and its table."""
    place = pick_device(device)
    if place.type == "cpu":
        torch.set_num_threads(1)  # threads inside one convolution wait for each other
    tasks: dict[str, TaskID] = {}
    with progress_bar() as bar:

        def report(step: Scored) -> None:
            if step.clip not in tasks:
                tasks[step.clip] = bar.add_task(step.clip, total=step.frames, fps="")
            bar.update(tasks[step.clip], completed=step.frame, total=step.frames)

        entry = choose(place, model, folders)
        result = evaluate(target, entry, place, max_frames=frames, report=report)
    return result.to_json(), evaluation_table(result)
