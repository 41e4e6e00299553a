"""Fine-tuning a model for a user's own footage: settings that fit, and a time, not steps."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from streamsr.core.config import load, parse
from streamsr.train.files import clip_paths
from streamsr.train.loop import Trainer
from streamsr.train.network import start_from
from streamsr.train.run_log import Progress
from streamsr.train.settings import DegradeSettings, TrainSettings
from streamsr.train.validation import Gains
from streamsr.zoo.card import TRAINING_NAME
from streamsr.zoo.loading import load_model, make_network
from streamsr.zoo.registry import USUAL_SCALE, Entry, find

__all__ = ["Report", "TrainingTime", "Tuned", "finetune", "further", "tuned"]

HELD_OUT = 0.2  # of every clip, its end: what the result is measured on
CLIP_FRAMES = 250  # of each clip: more would neither fit the time nor the memory
CODINGS = 4  # of each clip
BATCHES = {"batch", "sequence", "truncate", "gradient_norm"}  # as the model was trained
CROPS = {"patch", "valid_frames", "flicker"}  # likewise
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the way from the weights it had to those it came to
RESERVE = 1.6  # times as long as measured, for what is done after the last step
ENOUGH = 0.97  # of its time: a run that has had that is done


@dataclass(frozen=True, slots=True)
class Tuned:
    """What fine-tuning made, and how it scores beside the model it started from."""

    folder: Path
    steps: int
    begun_again: bool  # what was trained before was on other footage
    before: Gains  # on what was held out and not used to choose, on this device
    after: Gains


@dataclass(frozen=True, slots=True)
class TrainingTime:
    """How far a run has come that is limited by time."""

    step: int
    loss: float
    seconds: float  # that its steps have taken
    of_seconds: float


Report = Callable[[TrainingTime], None]


def finetune(
    entry: Entry,
    footage: Path,
    *,
    minutes: float,
    name: str,
    runs: Path,
    prepared: Callable[[str], None] = lambda clip: None,
    report: Report = lambda time: None,
) -> Tuned:
    """Trains ``entry`` on the clips of ``footage`` for so long, the time to read them included.

    Goes on where the same was begun before; of other clips it begins again.

    The new model is the member of its scale in a family called ``name``: its own name is that, or
    ``name``-xN where the scale is not the usual one. ``prepared`` is called with the name of each
    clip that is ready, ``report`` after each step. Raises ConfigError for a name that cannot be
    one, and InputError and ModelError as ``Trainer`` does.
    """
    end = monotonic() + minutes * 60
    trained = _training(entry.folder)
    degrade = trained.data.degrade if trained else DegradeSettings()
    data: dict[str, Any] = {
        "train": footage,
        "footage": _told_apart(footage),
        "held_out": HELD_OUT,
        "clip_frames": CLIP_FRAMES,
        "cache": runs / "cache",
        "degrade": degrade and degrade.model_dump() | {"codings": CODINGS},
    }
    settings = further(entry, data, f"clips of {footage.name}", name, runs)
    trainer = Trainer(settings, prepared)
    try:
        made = tuned(trainer, entry, end, report)
        return replace(made, folder=trainer.model.put_in_place())
    finally:
        trainer.model.discard()


def _told_apart(footage: Path) -> str:
    """What the clips of a folder are told from others by."""
    clips = [(path.name, path.stat()) for path in clip_paths(footage)]
    known = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in clips]
    return hashlib.sha256(repr(known).encode()).hexdigest()


def tuned(trainer: Trainer, entry: Entry, end: float, report: Report = lambda time: None) -> Tuned:
    """Trains ``entry`` by the settings of ``trainer``, whose steps do not count, until ``end`` of
    the monotonic clock, by which everything is done.

    What is kept lies between the weights it started from and those it came to, where that is best
    on the first half of what is held out (Wortsman et al., Robust Fine-Tuning of Zero-Shot Models,
    2022): a fixed camera wants all of the way, clips of many scenes little of it. The gains are
    measured on the second half. Goes on where the same run ended, if it has had less time. The new
    model is left beside the place of the run's, which the caller may put it in.
    """
    _, judging = trainer.validator.halves()
    began = monotonic()
    before = judging.gains(load_model(entry, trainer.device).network)
    one_s = monotonic() - began
    seconds = max(0.0, end - monotonic() - RESERVE * one_s * (len(SHARES) + 1))

    def told(progress: Progress) -> None:
        report(TrainingTime(progress.step, progress.loss, trainer.seconds, seconds))

    if trainer.seconds < ENOUGH * seconds or not trainer.step:
        trainer.run_for(seconds, told)
    return _chosen(trainer, entry, before)


def _chosen(trainer: Trainer, entry: Entry, before: Gains) -> Tuned:
    """Writes the best mixture of what the training started from and what it came to."""
    choosing, judging = trainer.validator.halves()
    network = make_network(entry.card)
    start_from(network, entry)
    network.to(trainer.device)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    end = trainer.average.module.state_dict()

    def mix(share: float) -> float:
        network.load_state_dict({key: torch.lerp(start[key], end[key], share) for key in start})
        return choosing.gains(network).gain

    mix(max(SHARES, key=mix))
    trainer.model.write(network, trainer.settings)
    made = find(str(trainer.model.made))
    after = judging.gains(load_model(made, trainer.device).network)
    return Tuned(made.folder, trainer.step, trainer.begun_again, before, after)


def further(
    entry: Entry, data: dict[str, Any], footage: str, name: str, runs: Path
) -> TrainSettings:
    """Returns settings that train ``entry`` on ``data``: as it was trained, where its folder says
    so; gently, since it can do most already. ``footage`` says in its card what that was.
    """
    trained = _training(entry.folder)
    training = f"{entry.name}, trained further on {footage}"
    origin = entry.card.origin.model_dump() | {"training": training}
    scale = entry.facts.scale
    changes = {"weights": None, "family": name, "figures": {}, "origin": origin}
    settings = {
        "name": name if scale == USUAL_SCALE else f"{name}-x{scale}",
        "runs": runs,
        "model": entry.card.model_dump() | changes,
        "init": str(entry.folder.resolve()),
        "loss": "l2",
        "learning_rate": 2e-4,
        "steps": 1,
        "data": data | (trained.data.model_dump(include=CROPS) if trained else {}),
        **(trained.model_dump(include=BATCHES) if trained else {}),
    }
    return parse(settings, TrainSettings, f"fine-tuning of {entry.name!r}")


def _training(folder: Path) -> TrainSettings | None:
    """The settings of a run, or those that made a model's weights, where its folder has them."""
    training = folder / TRAINING_NAME
    return load(training, TrainSettings) if training.exists() else None
