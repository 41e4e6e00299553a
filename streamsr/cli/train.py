"""The commands that train models, show what they are trained on, and score them."""

from pathlib import Path
from typing import Annotated

import typer

from streamsr.cli.options import Device, Json, Model, Models, Set, command, print_result
from streamsr.core.errors import ConfigError

__all__ = ["degrade", "evaluate", "train"]


@command
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
        str | None, typer.Option(help="With --init: what the new model is called.")
    ] = None,
    models: Models = None,
    set_: Set = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network as a file says, or one that there is further on clips of your own.

    Either goes on from the last checkpoint of its run.
    """
    from streamsr.cli.train_run import run_finetuning, run_training

    if config is not None and init is None and data is None:
        result = run_training(config, set_ or [], threads or 1)
    elif config is None and init is not None and data is not None and not set_:
        result = run_finetuning(init, data, minutes, name, models or [], threads or 1)
    else:
        raise ConfigError(
            "train: allowed are a training file (with --set), or --init MODEL --data FOLDER"
        )
    print_result(result, None, as_json)


@command
def degrade(
    config: Annotated[
        Path, typer.Argument(help="A training file with a [data.degrade], as fast-camera's.")
    ],
    output: Annotated[Path, typer.Argument(help="The picture to write, NAME.png.")],
    rows: Annotated[int, typer.Option(min=1, max=50, help="How many clips to show.")] = 6,
    set_: Set = None,
) -> None:
    """Show what a training file's degradation does: clips before and after, side by side."""
    from streamsr.cli.train_run import run_degradation

    run_degradation(config, set_ or [], rows, output)


@command
def evaluate(
    target: Annotated[
        Path, typer.Argument(help="Ground truth: a clip, or a folder of clips or PNG frames.")
    ],
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    frames: Annotated[int | None, typer.Option(min=1, help="At most so many of a clip.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Another model to score beside; may be repeated.")
    ] = None,
    degrade: Annotated[
        str, typer.Option(help="What the models see: bicubic, or camera (H.264 at three rates).")
    ] = "bicubic",
    report: Annotated[
        Path | None, typer.Option(help="A folder for the tables and a chart as files.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model as the papers do, beside bicubic: PSNR, SSIM, time a frame, cost."""
    from streamsr.cli.train_run import run_evaluation

    result, table = run_evaluation(
        target,
        model,
        models or [],
        device,
        frames,
        against=against or (),
        degrade=degrade,
        report=report,
    )
    print_result(result, table, as_json)
