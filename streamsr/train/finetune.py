"""Fine-tuning a model for a user's own footage: settings that fit, and a time, not steps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import torch

from streamsr.core.config import load, parse
from streamsr.train.loop import Trainer
from streamsr.train.network import start_from
from streamsr.train.run_log import Progress
from streamsr.train.settings import DegradeSettings, TrainSettings
from streamsr.train.validation import Gains
from streamsr.zoo.card import TRAINING_NAME
from streamsr.zoo.loading import load_model, make_network
from streamsr.zoo.registry import USUAL_SCALE, Entry, find

__all__ = ["Tuned", "finetune"]

HELD_OUT = 0.2  # of every clip, its end: what the result is measured on
CLIP_FRAMES = 250  # of each clip: more would neither fit the time nor the memory
CODINGS = 4  # of each clip
TIMED_STEPS = 30  # that show how long a step takes
BATCHES = {"batch", "sequence", "truncate", "gradient_norm"}  # as the model was trained
CROPS = {"patch", "valid_frames", "flicker"}  # likewise
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the way from the weights it had to those it came to
MARGIN = 0.9  # of the time: the rest is for validation


@dataclass(frozen=True, slots=True)
class Tuned:
    """What fine-tuning made, and how it scores beside the model it started from."""

    folder: Path
    steps: int
    before: Gains  # on what was held out and not used to choose, on this device
    after: Gains


def finetune(
    entry: Entry,
    footage: Path,
    *,
    minutes: float,
    name: str,
    runs: Path,
    prepared: Callable[[str], None] = lambda clip: None,
    report: Callable[[Progress, int], None] = lambda progress, steps: None,
) -> Tuned:
    """Trains ``entry`` on the clips of ``footage`` for so long, the time to read them included.

    What is kept lies between the weights it started from and those it came to, where that is best
    on the first half of what is held out (Wortsman et al., Robust Fine-Tuning of Zero-Shot Models,
    2022): a fixed camera wants all of the way, clips of many scenes little of it. The gains are
    measured on the second half. Goes on where the same run was interrupted.

    The new model is the member of its scale in a family called ``name``: its own name is that, or
    ``name``-xN where the scale is not the usual one. ``prepared`` is called with the name of each
    clip that is ready, ``report`` after each step with the steps there will be. Raises ConfigError
    for a name that cannot be one, and InputError and ModelError as ``Trainer`` does.
    """
    start = monotonic()
    settings = _settings(entry, footage, name, runs)
    begun = _training(runs / settings.name)
    if begun is not None:
        steps = begun.steps
    else:
        step_s = _step_s(settings, prepared)
        left_s = minutes * 60 - (monotonic() - start)
        steps = max(TIMED_STEPS, int(left_s * MARGIN / step_s))
    trainer = Trainer(settings.model_copy(update={"steps": steps, "valid_every": steps}), prepared)
    trainer.run(lambda progress: report(progress, steps))
    return _kept(trainer, entry)


def _kept(trainer: Trainer, entry: Entry) -> Tuned:
    """Exports the best mixture of what the training started from and what it came to."""
    choosing, judging = trainer.validator.halves()
    network = make_network(entry.card)
    start_from(network, entry)
    network.to(trainer.device)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    end = trainer.average.module.state_dict()
    before = judging.gains(load_model(entry, trainer.device).network)

    def mix(share: float) -> float:
        network.load_state_dict({key: torch.lerp(start[key], end[key], share) for key in start})
        return choosing.gains(network).gain

    mix(max(SHARES, key=mix))
    tuned = find(str(trainer.export(network)))
    after = judging.gains(load_model(tuned, trainer.device).network)
    return Tuned(tuned.folder, trainer.step, before, after)


def _settings(entry: Entry, footage: Path, name: str, runs: Path) -> TrainSettings:
    """As the model was trained, where its folder says so; gently, since it can do most already."""
    trained = _training(entry.folder)
    degrade = trained.data.degrade if trained else DegradeSettings()
    training = f"{entry.name}, trained further on clips of {footage.name}"
    origin = entry.card.origin.model_dump() | {"training": training}
    scale = entry.facts.scale
    changes = {"weights": None, "family": name, "figures": {}, "origin": origin}
    data: dict[str, Any] = {
        "train": footage,
        "held_out": HELD_OUT,
        "clip_frames": CLIP_FRAMES,
        "cache": runs / "cache",
        "degrade": degrade and degrade.model_dump() | {"codings": CODINGS},
        **(trained.data.model_dump(include=CROPS) if trained else {}),
    }
    settings = {
        "name": name if scale == USUAL_SCALE else f"{name}-x{scale}",
        "runs": runs,
        "model": entry.card.model_dump() | changes,
        "init": str(entry.folder.resolve()),
        "loss": "l2",
        "learning_rate": 2e-4,
        "steps": 1,
        "data": data,
        **(trained.model_dump(include=BATCHES) if trained else {}),
    }
    return parse(settings, TrainSettings, f"fine-tuning of {entry.name!r}")


def _training(folder: Path) -> TrainSettings | None:
    """The settings of a run, or those that made a model's weights, where its folder has them."""
    training = folder / TRAINING_NAME
    return load(training, TrainSettings) if training.exists() else None


def _step_s(settings: TrainSettings, prepared: Callable[[str], None]) -> float:
    """How long a step takes here, the clips read and coded on the way."""
    with TemporaryDirectory() as folder:
        probe = Trainer(settings.model_copy(update={"runs": Path(folder)}), prepared)
        times = []
        for step in range(TIMED_STEPS):
            start = monotonic()
            probe.advance(*probe.crops.at(step))
            times.append(monotonic() - start)
        return median(times)  # the first ones take long
