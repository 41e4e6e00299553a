"""The command that shows what a training file makes of clips."""

from pathlib import Path
from typing import Annotated

import typer

from streamsr.cli.options import Set
from streamsr.cli.terminal import say
from streamsr.cli.training.train import on_demo, on_footage
from streamsr.core.config import load
from streamsr.core.errors import ConfigError
from streamsr.train.files import clip_paths
from streamsr.train.settings import TrainSettings

__all__ = ["degrade"]


def degrade(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A training file with a data.degrade, as fast-camera's."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The image to write, NAME.png.")],
    data: Annotated[
        Path | None,
        typer.Option(help="A folder of clips, in place of the file's; demo: the built-in one."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=50, help="How many clips to show.")] = 6,
    scale: Annotated[
        int | None, typer.Option(min=1, max=8, help="By which they shrink; else as in the file.")
    ] = None,
    set_: Set = None,
) -> None:
    """Show what a training file's degradation does: clips before and after, side by side."""
    settings = load(config, TrainSettings, set_ or [])
    recipe = settings.data.degrade
    if recipe is None:
        raise ConfigError(f"{config}: got no [data.degrade], allowed is a file that has one")
    if data is not None:
        settings = on_footage(settings, data)
    elif not settings.data.train.exists():
        settings = on_footage(settings, on_demo())
    clip_paths(settings.data.train)
    import torch

    from streamsr.train.sheets import degradation_sheet, write_png

    torch.set_num_threads(1)
    shrink = scale or settings.model.facts.scale
    image = degradation_sheet(settings.data.train, recipe, shrink, settings.seed, rows)
    write_png(output, image)
    say(f"the sheet is in {output}")
