"""Scoring a model on clips whose truth is known."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Literal

import torch

from streamsr.api.models import Folders, folders_of, path_of
from streamsr.core.devices import pick_device
from streamsr.core.errors import InputError
from streamsr.engine.threads import counts_kept
from streamsr.train.evaluation import evaluate as scored
from streamsr.train.results import Degradation, Evaluation
from streamsr.zoo.card import Precision
from streamsr.zoo.registry import find

__all__ = ["evaluate"]

Name = str | PathLike[str]


def evaluate(
    target: str | PathLike[str],
    model: Name = "fast",
    *,
    low: str | PathLike[str] | None = None,
    against: Name | Iterable[Name] = (),
    degrade: Literal["bicubic", "bd", "camera"] = "bicubic",
    scale: int | None = None,
    device: str = "auto",
    folders: Folders = (),
    precision: Precision | None = None,
    max_frames: int | None = None,
) -> Evaluation:
    """Scores a model on ``target``, beside bicubic and the models ``against``, as ``eval`` does.

    ``target`` is a clip, a folder of clips or of frames, and the truth; ``low`` holds what the
    model sees, else it is made of the truth by ``degrade``. Of each clip at most ``max_frames``.
    Raises InputError where there is nothing to score, and for what is no path, and ModelError.
    """
    known = folders_of(folders)

    def named(name: Name) -> str:
        path = path_of(name, "model")
        return path if isinstance(name, str) else str(Path(path).resolve())

    others = (against,) if isinstance(against, str | PathLike) else tuple(against)
    if max_frames is not None and not (isinstance(max_frames, int) and max_frames >= 1):
        raise InputError(f"max_frames: got {max_frames!r}, allowed are whole numbers from 1")
    if degrade not in [*Degradation]:
        raise InputError(f"degrade: got {degrade!r}, allowed are {', '.join(Degradation)}")
    with counts_kept():
        return scored(
            Path(path_of(target, "target")),
            find(named(model), known, scale),
            torch.device(pick_device(device)),
            low=None if low is None else Path(path_of(low, "low")),
            against=[find(named(other), known, scale) for other in others],
            degrade=Degradation(degrade),
            precision=precision,
            max_frames=max_frames,
        )
