"""The command that trains models.

What the user got wrong is found before torch is imported, which takes seconds.
"""

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamsr.cli.options import Json, Models, Set
from streamsr.cli.terminal import Lines, print_result, progress_bar, say
from streamsr.core.config import load
from streamsr.core.devices import pick_device
from streamsr.core.errors import ConfigError, UserError
from streamsr.train.files import DEMO, clip_paths, footage_folder, still_paths
from streamsr.train.settings import TrainSettings
from streamsr.zoo.registry import Entry, find

if TYPE_CHECKING:
    from streamsr.train.finetune import TrainingTime
    from streamsr.train.run_log import Progress

MINUTES = 20.0  # that training takes, where nobody says how long
HELD_OUT = 0.2  # of every clip, its end, where it takes the place of a file's

__all__ = ["on_demo", "on_footage", "train"]


def train(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A training file, as models/fast/train.toml."),
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="A model to train further, in place of a file.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder of clips of your own, in place of the file's; demo: a trial."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.05, help=f"With --init: how long it may take; else {MINUTES:g}."),
    ] = None,
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
    if config is not None and init is None and scale is None:
        of_init = {"--minutes": minutes, "--name": name, "--models": models}
        for option in (option for option, value in of_init.items() if value):
            raise ConfigError(f"{option}: got a training file, allowed is it with --init")
        settings = load(config, TrainSettings, set_ or [])
        result = _train_by(settings if data is None else on_footage(settings, data), threads or 1)
    elif config is None and init is not None and not set_:
        entry = find(init, models or [], scale)
        lasts = MINUTES if minutes is None else minutes
        result = _finetune(entry, data or on_demo(), lasts, name, threads or 1)
    else:
        raise ConfigError(
            "train: allowed are a training file (with --set and --data), or --init MODEL --data "
            "FOLDER (with --scale)"
        )
    print_result(result, None, as_json)


def on_demo() -> Path:
    """Returns the built-in camera's clip as footage for a trial; says that it is."""
    say("no footage is given: the built-in camera's clip is taken, for a trial (--data FOLDER)")
    return DEMO


def on_footage(settings: TrainSettings, footage: Path) -> TrainSettings:
    """Returns the settings with ``footage`` for all clips: validation sees the end of each."""
    changes = {
        "train": footage_folder(footage),
        "valid": None,
        "held_out": HELD_OUT,
        "stills": None,
    }
    return settings.model_copy(update={"data": settings.data.model_copy(update=changes)})


def _train_by(settings: TrainSettings, threads: int) -> dict[str, Any]:
    """Trains on from the last checkpoint; returns where the model is."""
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
        lines = Lines()

        def report(progress: "Progress") -> None:
            loss = f"loss {progress.loss:.5f}"
            bar.update(task, completed=progress.step, fps=loss)
            lines.now_and_then(f"training: step {progress.step} of {settings.steps}, {loss}")
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
    begun = monotonic()  # importing torch counts, and takes seconds
    clip_paths(footage_folder(footage))
    import torch

    from streamsr.train.finetune import finetune

    torch.set_num_threads(threads)
    with progress_bar() as bar:
        reading = bar.add_task("reading", total=None, fps="")
        task, lines = bar.add_task("training", total=None, fps=""), Lines()

        def prepared(clip: str) -> None:
            bar.update(reading, description=f"reading {clip}")
            lines.now_and_then(f"reading {clip}")
            if minutes and monotonic() - begun > minutes * 60:
                raise UserError(
                    f"--minutes {minutes:g}: too short: got as far as reading {clip}; what is read "
                    "is kept: start it again, or give more"
                )

        def report(time: "TrainingTime") -> None:
            said = f"s, step {time.step}, loss {time.loss:.5f}"
            done, total = round(time.seconds), round(time.of_seconds)
            bar.update(task, completed=done, total=total, fps=said)
            lines.now_and_then(f"training: {done} of {total} {said}")

        tuned = finetune(
            entry,
            footage_folder(footage),
            minutes=minutes - (monotonic() - begun) / 60,
            name=name or f"{entry.family}-{footage.resolve().name}",
            runs=Path("runs"),
            prepared=prepared,
            report=report,
        )
    if tuned.begun_again:
        say("the run of this name was on other clips: it was begun again")
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
