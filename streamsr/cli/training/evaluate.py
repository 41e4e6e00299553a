"""The command that scores models on ground truth.

What the user got wrong is found before torch is imported, which takes seconds.
"""

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.progress import TaskID

from streamsr.cli.options import Device, Json, Model, ModelPrecision, Models
from streamsr.cli.terminal import print_result, progress_bar
from streamsr.cli.training.tables import evaluation_tables, markdown
from streamsr.core.devices import pick_device
from streamsr.core.errors import OutputError, UserError
from streamsr.core.settings import Quality
from streamsr.train.chart import check_charts, scatter_chart
from streamsr.train.files import target_paths
from streamsr.train.results import Degradation, Evaluation
from streamsr.zoo.registry import find

if TYPE_CHECKING:
    from streamsr.train.evaluation import Scored

__all__ = ["evaluate"]


def evaluate(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="Ground truth: a clip, or a folder of clips or PNG frames."
        ),
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
