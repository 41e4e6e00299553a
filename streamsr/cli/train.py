"""The commands that train models, show what they are trained on, and score them.

What the user got wrong is found before torch is imported, which takes seconds.
"""

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.progress import TaskID

from streamsr.cli.options import Device, Json, Model, ModelPrecision, Models, Set
from streamsr.cli.terminal import print_result, progress_bar, say
from streamsr.core.config import load
from streamsr.core.devices import pick_device
from streamsr.core.errors import ConfigError, OutputError, UserError
from streamsr.core.settings import Quality
from streamsr.train.chart import check_charts, scatter_chart
from streamsr.train.files import clip_paths, still_paths, target_paths
from streamsr.train.results import Degradation, Evaluation, evaluation_tables, markdown
from streamsr.train.settings import TrainSettings
from streamsr.zoo.registry import Entry, find

if TYPE_CHECKING:
    from streamsr.train.evaluation import Scored
    from streamsr.train.finetune import TrainingTime
    from streamsr.train.run_log import Progress

__all__ = ["degrade", "evaluate", "train"]


def train(
    config: Annotated[
        Path | None, typer.Argument(help="A training file, as models/fast/train.toml.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="A model to train further, in place of a file.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --init: a folder of clips of your own camera.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="With --init: how long it may take.")
    ] = 20.0,
    name: Annotated[
        str | None, typer.Option(help="With --init: the family that the new model belongs to.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, max=8, help="With --init: of the family's member.")
    ] = None,
    models: Models = None,
    set_: Set = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network as a file says, or one that there is further on clips of your own.

    Either goes on from the last checkpoint of its run.
    """
    if config is not None and init is None and data is None and scale is None:
        result = _train_by(config, set_ or [], threads or 1)
    elif config is None and init is not None and data is not None and not set_:
        entry = find(init, models or [], scale)
        result = _finetune(entry, data, minutes, name, threads or 1)
    else:
        raise ConfigError(
            "train: allowed are a training file (with --set), or --init MODEL --data FOLDER (with "
            "--scale)"
        )
    print_result(result, None, as_json)


def degrade(
    config: Annotated[
        Path, typer.Argument(help="A training file with a [data.degrade], as fast-camera's.")
    ],
    output: Annotated[Path, typer.Argument(help="The image to write, NAME.png.")],
    rows: Annotated[int, typer.Option(min=1, max=50, help="How many clips to show.")] = 6,
    scale: Annotated[
        int | None, typer.Option(min=1, max=8, help="By which they shrink; else as in the file.")
    ] = None,
    set_: Set = None,
) -> None:
    """Show what a training file's degradation does: clips before and after, side by side."""
    settings = load(config, TrainSettings, set_ or [])
    if settings.data.degrade is None:
        raise ConfigError(f"{config}: got no [data.degrade], allowed is a file that has one")
    clip_paths(settings.data.train)
    import torch

    from streamsr.train.sheets import degradation_sheet, write_png

    torch.set_num_threads(1)
    shrink = scale or settings.model.facts.scale
    image = degradation_sheet(
        settings.data.train, settings.data.degrade, shrink, settings.seed, rows
    )
    write_png(output, image)
    say(f"the sheet is in {output}")


def evaluate(
    target: Annotated[
        Path, typer.Argument(help="Ground truth: a clip, or a folder of clips or PNG frames.")
    ],
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    lr: Annotated[
        Path | None,
        typer.Option(help="What the models see, where a set has it: the same clips, smaller."),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, max=8, help="Of the family's member; 1: as large.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="At most so many of a clip.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Another model to score beside; may be repeated.")
    ] = None,
    degrade: Annotated[
        Degradation | None,
        typer.Option(help="What the models see: BI, BD, or H.264 at several rates; else bicubic."),
    ] = None,
    precision: ModelPrecision = None,
    quality: Annotated[
        Quality, typer.Option(help="best: in several passes, as folders of images are upscaled.")
    ] = Quality.USUAL,
    report: Annotated[
        Path | None, typer.Option(help="A folder for the tables and a chart as files.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model as the papers do, beside bicubic: PSNR, SSIM, time a frame, cost."""
    place = pick_device(device)
    folders = models or []
    if lr is not None:
        scale = _scale_of_pairs(target, lr, scale, degrade)
    entry = find(model, folders, scale)
    others = [find(name, folders, entry.facts.scale) for name in against or ()]
    target_paths(target)
    if report is not None:
        check_charts()
    import torch

    from streamsr.train.evaluation import evaluate

    tasks: dict[str, TaskID] = {}
    with progress_bar() as bar:

        def show(step: "Scored") -> None:
            if step.clip not in tasks:
                tasks[step.clip] = bar.add_task(step.clip, total=step.frames, fps="")
            bar.update(tasks[step.clip], completed=step.frame, total=step.frames)

        result = evaluate(
            target,
            entry,
            torch.device(place),
            low=lr,
            against=others,
            degrade=degrade or Degradation.BICUBIC,
            precision=precision,
            quality=quality,
            max_frames=frames,
            report=show,
        )
    if report is not None:
        _write_report(result, report)
    print_result(result.to_json(), Group(*evaluation_tables(result)), as_json)


def _scale_of_pairs(target: Path, lr: Path, wanted: int | None, degrade: Degradation | None) -> int:
    """How many times as large the clips of ``target`` are as those of ``lr``. Raises UserError."""
    if degrade is not None:
        raise UserError(f"--degrade: got {degrade} with --lr, allowed is one of the two")
    for folder in (target, lr):
        target_paths(folder)
    from streamsr.train.pairs import clip_pairs, common_scale

    scale = common_scale(clip_pairs(target, lr))
    if wanted not in (None, scale):
        raise UserError(f"--scale: got {wanted}, {target} is {scale} times as large as {lr}")
    return scale


def _train_by(config: Path, overrides: list[str], threads: int) -> dict[str, Any]:
    """Trains as ``config`` says, on from the last checkpoint; returns where the model is."""
    settings = load(config, TrainSettings, overrides)
    _check_training(settings)
    import torch

    from streamsr.train.loop import Trainer

    torch.set_num_threads(threads)
    with progress_bar() as bar:
        reading = bar.add_task("reading", total=None, fps="")
        trainer = Trainer(settings, lambda clip: bar.update(reading, description=f"reading {clip}"))
        bar.remove_task(reading)
        if trainer.step:
            say(f"goes on at step {trainer.step}/{settings.steps}")
        task = bar.add_task(settings.name, total=settings.steps, completed=trainer.step, fps="")

        def report(progress: "Progress") -> None:
            bar.update(task, completed=progress.step, fps=f"loss {progress.loss:.5f}")
            if progress.psnr_db is not None:
                say(
                    f"step {progress.step}/{settings.steps}: loss {progress.loss:.5f}, validation "
                    f"{progress.psnr_db:.3f} dB, {progress.gain_db:+.3f} dB over bicubic, "
                    f"at worst {progress.worst_db:+.3f} dB"
                )

        folder = trainer.run(report)
    say(f"the model is in {folder}")
    last = trainer.last_validation()
    return {
        "model": str(folder),
        "steps": trainer.step,
        "psnr_db": last and last.psnr_db,
        "gain_db": last and last.gain_db,
    }


def _finetune(
    entry: Entry, footage: Path, minutes: float, name: str | None, threads: int
) -> dict[str, Any]:
    """Trains a model further on clips of the user's; returns where it is, and what it gained."""
    clip_paths(footage)
    import torch

    from streamsr.train.finetune import finetune

    torch.set_num_threads(threads)
    with progress_bar() as bar:
        reading = bar.add_task("reading", total=None, fps="")
        task = bar.add_task("training", total=None, fps="")

        def report(time: "TrainingTime") -> None:
            said = f"s, step {time.step}, loss {time.loss:.5f}"
            bar.update(task, completed=round(time.seconds), total=round(time.of_seconds), fps=said)

        tuned = finetune(
            entry,
            footage,
            minutes=minutes,
            name=name or f"{entry.family}-{footage.resolve().name}",
            runs=Path("runs"),
            prepared=lambda clip: bar.update(reading, description=f"reading {clip}"),
            report=report,
        )
    before, after = tuned.before.gain, tuned.after.gain
    better = f"use it with --model {tuned.folder}"
    plain = "bicubic" if entry.facts.scale > 1 else "the input"
    say(
        f"on the held-out end of the clips: {before:+.3f} dB over {plain} before, "
        f"{after:+.3f} dB after: {after - before:+.3f} dB\n"
        f"{better if after > before else f'{entry.name} stays the better one'}"
    )
    return {
        "model": str(tuned.folder),
        "steps": tuned.steps,
        "gain_before_db": before,
        "gain_db": after,
        "improvement_db": after - before,
    }


def _check_training(settings: TrainSettings) -> None:
    """Raises what would stop a run before its first step."""
    pick_device(settings.device)
    if settings.init is not None:
        find(settings.init)
    for folder in (settings.data.train, settings.data.valid):
        if folder is not None:
            clip_paths(folder)
    if settings.data.stills is not None:
        still_paths(settings.data.stills)


def _write_report(result: Evaluation, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "eval.md").write_text(markdown(result), encoding="utf-8")
        (folder / "eval.json").write_text(json.dumps(result.to_json(), indent=1), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"report {folder}: cannot be written: {error.strerror}") from None
    points = {
        name: (scores.ms, scores.psnr_db)
        for name, scores in result.by_model().items()
        if isfinite(scores.psnr_db)
    }
    if points:
        title = f"luma PSNR over time: input {result.seen}"
        scatter_chart(folder / "eval.png", title, ("ms a frame", "dB"), points)
