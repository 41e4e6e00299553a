"""The training loop: one run from its settings to a model folder, resumable at any checkpoint.

The data of a step depends on the seed and the step alone, so that a resumed run sees what an
unbroken one would have seen.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from streamsr.core.config import dump, load
from streamsr.core.devices import pick_device
from streamsr.core.errors import UserError
from streamsr.train.ahead import Ahead
from streamsr.train.chart import Series, chart, write_picture
from streamsr.train.data import Crops
from streamsr.train.footage import Footage
from streamsr.train.settings import TRAINING_NAME, TrainSettings
from streamsr.train.start import start_from
from streamsr.train.unrolled import Unrolled
from streamsr.train.validation import Validator
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Weights
from streamsr.zoo.loading import in_channels_last, make_network
from streamsr.zoo.registry import find
from streamsr.zoo.weights import write_weights

__all__ = ["Progress", "Trainer", "charbonnier", "flicker", "flicker_of"]

LOG_NAME = "log.jsonl"
VALIDATED = ("psnr_db", "gain_db", "worst_db")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, once a step."""

    step: int
    loss: float  # of the step; the mean since the last validation where there is one
    psnr: float | None = None  # luma or RGB dB on the validation clips, where just measured
    gain: float | None = None  # of it over bicubic
    worst: float | None = None  # the gain of the clip, under the coding, where it is least


def charbonnier(output: Tensor, truth: Tensor) -> Tensor:
    """Mean of sqrt(error² + 1e-6), a smooth L1 (Charbonnier et al., 1994)."""
    return torch.sqrt((output - truth) ** 2 + 1e-6).mean()


def squared(output: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error: what PSNR measures."""
    return F.mse_loss(output, truth)


def flicker(change: Tensor, wanted: Tensor) -> Tensor:
    """Mean over the batch of the logarithm of the squared error of what changes between frames.

    A still camera's flicker, small as it is, counts as much as what a moving one gets wrong.
    """
    return torch.log(((change - wanted) ** 2).mean((-3, -2, -1)) + 1e-6).mean()


def flicker_of(outputs: Tensor, wanted: Tensor) -> Tensor:
    """``flicker`` of frames in a row, (b, frames, c, h, w); 0 of a single one."""
    if outputs.shape[1] < 2:
        return outputs.new_zeros(())
    return flicker(outputs.diff(dim=1), wanted.diff(dim=1))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"charbonnier": charbonnier, "l2": squared}


Average = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]


def _warming_average(decay: float) -> Average:
    """An exponential moving average that forgets the start sooner while it is near."""

    def average(means: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        steps = float(count)
        share = 1 - min(decay, (1 + steps) / (10 + steps))
        for mean, value in zip(means, values, strict=True):
            mean.lerp_(value, share)

    return average


class Trainer:
    """One run. ``run()`` goes on from the last checkpoint of its folder, or starts."""

    def __init__(
        self, settings: TrainSettings, prepared: Callable[[str], None] = lambda clip: None
    ) -> None:
        self.settings = settings
        self.facts = settings.model.facts.facts()
        self.folder = settings.runs / settings.name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"runs {self.folder}: cannot be written: {error.strerror}") from None
        self.step = 0
        self._losses: list[float] = []  # since the last validation
        torch.manual_seed(settings.seed)
        self.device = torch.device(pick_device(settings.device))
        self.network = in_channels_last(make_network(settings.model))
        if settings.init is not None:
            start_from(self.network, find(settings.init))
        self.network.to(self.device)
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=_warming_average(settings.ema_decay),
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        footage = Footage(settings.data, self.facts, settings.seed, prepared)
        self.validator = Validator(
            footage.valid(),
            self.facts,
            settings.data.valid_frames,
            self.device,
            bfloat16=settings.precision == "bfloat16",
        )
        self.crops = Crops(
            footage.train(),
            side=settings.data.patch * self.facts.scale,
            window=settings.crop_frames,
            batch=settings.batch,
            seed=settings.seed,
            scale=self.facts.scale,
            shrink=settings.data.shrink,
            flicker=settings.data.flicker,
        )
        self._resume()
        told = self.folder / TRAINING_NAME
        if not told.exists() or load(told, TrainSettings) != settings:  # it may be the user's own
            dump(settings, told)

    def run(self, report: Callable[[Progress], None]) -> Path:
        """Train to the last step and give the folder of the finished model."""
        settings = self.settings
        if self.step == 0 and settings.init is not None:  # what it starts from can do something
            self._log(self._validated(math.nan))
        with Ahead(self.crops, settings.workers) as batches:
            self._train(batches, report)
        return self.export()

    def _train(self, batches: Ahead, report: Callable[[Progress], None]) -> None:
        settings = self.settings
        losses = self._losses
        while self.step < settings.steps:
            losses.append(self.advance(*batches.at(self.step)))
            done = self.step == settings.steps
            if done or self.step % settings.valid_every == 0:
                progress = self._validated(sum(losses) / len(losses))
                losses.clear()
                self._log(progress)
            else:
                progress = Progress(self.step, losses[-1])
            if done or self.step % settings.save_every == 0:
                self._save()
                self.export()
            report(progress)

    def last_validation(self) -> Progress | None:
        """What the run's log ends with."""
        return next(reversed(self.validations()), None)

    def validations(self) -> list[Progress]:
        """Every line of the run's log."""
        return [
            Progress(line["step"], line["loss"], *(line.get(key) for key in VALIDATED))
            for line in self._lines()
        ]

    def export(self, network: nn.Module | None = None) -> Path:
        """Write a network, by default the averaged one, as a model folder, with the settings that
        made it."""
        folder = self.folder / self.settings.name
        folder.mkdir(exist_ok=True)
        sha256 = write_weights(folder / WEIGHTS_NAME, network or self.average.module)
        card = self.settings.model.model_copy(update={"weights": Weights(sha256=sha256)})
        dump(card, folder / CARD_NAME)
        dump(self.settings, folder / TRAINING_NAME)
        return folder

    def advance(self, low: Tensor, truth: Tensor) -> float:
        """Take one step on a batch of ``crops``; give its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._learnt(low.to(self.device), truth.to(self.device))
        most = math.inf if self.settings.gradient_norm is None else self.settings.gradient_norm
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), most)
        if not math.isfinite(loss) or not bool(torch.isfinite(norm)):
            raise UserError(
                f"run {str(self.folder)!r}, step {self.step}: got a loss of {loss:g} and a "
                f"gradient of norm {float(norm):g}: lower learning_rate, or set gradient_norm; "
                "nothing of this step was kept"
            )
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return loss

    def _learnt(self, low: Tensor, truth: Tensor) -> float:
        """Leave the gradients of a sequence in the network; give its loss."""
        facts = self.facts
        count = low.shape[1] - facts.window + 1
        first = facts.window - 1 - facts.lookahead
        wanted = truth[:, first : first + count]
        unrolled = Unrolled(self.network, facts, self.settings.truncate)
        total = 0.0
        before = wanted[:, :0]  # the last output of the part before
        for outputs, span in unrolled.parts(low, self._precision):
            loss = LOSSES[self.settings.loss](outputs, wanted[:, span])
            if self.settings.temporal:
                changing = torch.cat((before, outputs), 1)
                truths = wanted[:, span.stop - changing.shape[1] : span.stop]
                loss = loss + self.settings.temporal * flicker_of(changing, truths)
                before = outputs[:, -1:].detach()
            loss = loss * (outputs.shape[1] / count)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _learning_rate(self) -> float:
        """A cosine from the first to the last rate, after a linear start of 200 steps."""
        first, last = self.settings.learning_rate, self.settings.final_learning_rate
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self.settings.steps))
        return (last + (first - last) * cosine) * min(1.0, (self.step + 1) / 200)

    def _validated(self, loss: float) -> Progress:
        gains = self.validator.gains(self.average.module)
        return Progress(self.step, loss, gains.psnr, gains.gain, gains.worst)

    def _precision(self) -> torch.autocast:
        half = self.settings.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def _log(self, progress: Progress) -> None:
        line = {
            "step": progress.step,
            "loss": None if math.isnan(progress.loss) else progress.loss,
            "psnr_db": progress.psnr,
            "gain_db": progress.gain,
            "worst_db": progress.worst,
            "learning_rate": self._learning_rate(),
        }
        with (self.folder / LOG_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._draw()

    def _lines(self) -> list[dict[str, Any]]:
        log = self.folder / LOG_NAME
        if not log.exists():
            return []
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]

    def _forget_lines_after(self, step: int) -> None:
        """Take out of the log what was not in the checkpoint: it will be done again."""
        lines = [json.dumps(line) + "\n" for line in self._lines() if line["step"] <= step]
        if lines:
            (self.folder / LOG_NAME).write_text("".join(lines), encoding="utf-8")

    def _draw(self) -> None:
        """Pictures of where the run stands: its curves, and crops of what it is scored on."""
        lines = self.validations()
        curves = [
            Series(name, [(line.step, value) for line, value in zip(lines, values, strict=True)])
            for name, values in (
                ("mean", [line.gain or 0 for line in lines]),
                ("worst clip", [line.worst or 0 for line in lines]),
            )
        ]
        title = f"{self.settings.name}: gain over bicubic"
        write_picture(self.folder / "curves.png", chart(curves, title, "step", "dB"))
        crops = self.validator.sheet(self.average.module, self.settings.name)
        write_picture(self.folder / "crops.png", crops)

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _save(self) -> None:
        partial = self._checkpoint.with_suffix(".partial")
        state = {
            "settings": self.settings.model_dump_json(),
            "step": self.step,
            "losses": self._losses,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        then = TrainSettings.model_validate_json(state["settings"])  # settings it lacks: as ever
        changed = [
            key
            for key in TrainSettings.model_fields
            if getattr(then, key) != getattr(self.settings, key)
        ]
        if changed:
            raise UserError(
                f"run {str(self.folder)!r} was started with other settings ({', '.join(changed)}); "
                "give it another name, or remove the folder"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self._losses = state["losses"]
        self._forget_lines_after(self.step)
