"""The training loop: one run from its settings to a model folder, resumable at any checkpoint.

The data of a step depends on the seed and the step alone, so that a resumed run sees what an
unbroken one would have seen.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from io import BytesIO
from pathlib import Path
from time import monotonic

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from streamsr.core.config import dump, load
from streamsr.core.devices import pick_device
from streamsr.core.errors import UserError
from streamsr.train.clips import Footage
from streamsr.train.crops import Crops, batches
from streamsr.train.model_folder import ModelFolder
from streamsr.train.network import start_from, unrolled
from streamsr.train.run_log import Progress, RunLog
from streamsr.train.settings import TrainSettings
from streamsr.train.sheets import write_png
from streamsr.train.validation import Validator
from streamsr.train.whole_file import whole_file
from streamsr.zoo.card import TRAINING_NAME
from streamsr.zoo.loading import check_facts, in_channels_last, make_network
from streamsr.zoo.registry import find

__all__ = ["Trainer", "charbonnier", "flicker"]


def charbonnier(output: Tensor, truth: Tensor) -> Tensor:
    """Returns the mean of sqrt(error² + 1e-6), a smooth L1 (Charbonnier et al., 1994)."""
    return torch.sqrt((output - truth) ** 2 + 1e-6).mean()


def flicker(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Returns the mean logarithm of the squared error of what changes between frames in a row.

    (b, frames, c, h, w); 0 of a single frame. A still camera's flicker, small as it is, counts as
    much as what a moving one gets wrong.
    """
    if outputs.shape[1] < 2:
        return outputs.new_zeros(())
    errors = (outputs.diff(dim=1) - wanted.diff(dim=1)) ** 2
    return torch.log(errors.mean((-3, -2, -1)) + 1e-6).mean()


def log_squared(output: Tensor, truth: Tensor) -> Tensor:
    """Returns the mean logarithm of each frame's squared error, (b, frames, c, h, w): what a mean
    PSNR measures, in which an easy frame counts as much as a hard one."""
    return torch.log(((output - truth) ** 2).mean((-3, -2, -1)) + 1e-6).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "charbonnier": charbonnier,
    "l2": F.mse_loss,  # the PSNR of all frames as one
    "psnr": log_squared,
}


HOW_LONG = {"steps", "valid_every", "save_every"}  # what a run may go on with otherwise


def _average(
    decay: float, means: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int
) -> None:
    """Moves an exponential average on, which forgets the start sooner while it is near."""
    steps = float(count)
    share = 1 - min(decay, (1 + steps) / (10 + steps))
    for mean, value in zip(means, values, strict=True):
        mean.lerp_(value, share)


class Trainer:
    """One run. ``run()`` goes on from the last checkpoint of its folder, or starts; with more
    steps, or a longer time, than it had before it goes further. Where the footage is another than
    that of the checkpoint, as ``data.footage`` tells, it begins again.

    ``prepared`` is called with the name of each clip that is ready. Raises UserError where the
    run cannot be begun, or was begun with other settings.
    """

    def __init__(
        self, settings: TrainSettings, prepared: Callable[[str], None] = lambda clip: None
    ) -> None:
        self.settings = settings
        self.facts = settings.model.facts.facts()
        self.folder = settings.runs / settings.name
        check_facts(settings.name, settings.model)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"runs {self.folder}: cannot be written: {error.strerror}") from None
        self._checkpoint = self.folder / "checkpoint.pt"
        self.model = ModelFolder.of(settings)
        self.begun_again = False  # there is a checkpoint, of other footage
        self.step = 0
        self.seconds = 0.0  # that its steps have taken
        self._seconds: float | None = None  # that they may take in all; None: they are counted
        self._losses: list[float] = []  # since the last validation
        torch.manual_seed(settings.seed)
        self.device = torch.device(pick_device(settings.device))
        self.network = in_channels_last(make_network(settings.model))
        if settings.init is not None:
            start_from(self.network, find(settings.init))
        self.network.to(self.device)
        average = partial(_average, settings.ema_decay)
        self.average = AveragedModel(self.network, multi_avg_fn=average)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self._bfloat16 = settings.precision == "bfloat16"
        self._log = RunLog(self.folder, settings.name)
        footage = Footage(settings.data, self.facts, settings.seed, prepared)
        frames = settings.data.valid_frames
        self.validator = Validator(footage.valid(), self.facts, frames, self.device, self._bfloat16)
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
        written = self.folder / TRAINING_NAME
        if not written.exists() or load(written, TrainSettings) != settings:
            self._write_down(written)  # a user's own file that says the same is left as it is

    def run(self, report: Callable[[Progress], None]) -> Path:
        """Trains to the last step; returns the folder of the finished model.

        ``report`` is called after each step. Raises UserError where the loss is not finite.
        """
        settings, losses = self.settings, self._losses
        if self.step == 0 and settings.init is not None:  # how good the init is
            self._validate(math.nan)
        with closing(batches(self.crops, self.step, settings.workers)) as pairs:
            while self.step < settings.steps:
                losses.append(self.advance(*next(pairs)))
                done = self.step == settings.steps
                progress = Progress(self.step, losses[-1])
                if done or self.step % settings.valid_every == 0:
                    progress = self._validate(sum(losses) / len(losses))
                    losses.clear()
                if done or self.step % settings.save_every == 0:
                    self._save()
                    self.export()
                report(progress)
        return self.export()

    def run_for(self, seconds: float, report: Callable[[Progress], None]) -> None:
        """Trains for so long, the time of what it goes on from included, and at least one step;
        exports nothing. ``report`` and errors as those of ``run``."""
        self._seconds = seconds
        with closing(batches(self.crops, self.step, self.settings.workers)) as pairs:
            while not self.step or self.seconds < seconds:
                began = monotonic()
                loss = self.advance(*next(pairs))
                self.seconds += monotonic() - began
                if self.step % self.settings.save_every == 0:
                    self._save()
                report(Progress(self.step, loss))
        self.settings = self.settings.model_copy(update={"steps": self.step})
        self._save()

    def last_validation(self) -> Progress | None:
        """Returns what the run's log ends with."""
        return next(reversed(self._log.validations()), None)

    def export(self) -> Path:
        """Writes the averaged network as a model folder with its settings."""
        self.model.write(self.average.module, self.settings)
        return self.model.put_in_place()

    def advance(self, low: Tensor, truth: Tensor) -> float:
        """Takes one step on a batch of ``crops``; returns its loss.

        Raises UserError, and keeps nothing of the step, where the loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._back_propagate(low.to(self.device), truth.to(self.device))
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

    def _back_propagate(self, low: Tensor, truth: Tensor) -> float:
        """Leaves the gradients of a sequence in the network; returns its loss."""
        facts = self.facts
        count = low.shape[1] - facts.window + 1
        first = facts.window - 1 - facts.lookahead
        wanted = truth[:, first : first + count]
        parts = unrolled(self.network, facts, low, self.settings.truncate, bfloat16=self._bfloat16)
        total = 0.0
        before = wanted[:, :0]  # the last output of the part before
        for outputs, span in parts:
            loss = LOSSES[self.settings.loss](outputs, wanted[:, span])
            if self.settings.temporal:
                changing = torch.cat((before, outputs), 1)
                truths = wanted[:, span.stop - changing.shape[1] : span.stop]
                loss = loss + self.settings.temporal * flicker(changing, truths)
                before = outputs[:, -1:].detach()
            loss = loss * (outputs.shape[1] / count)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def learning_rate(self) -> float:
        """Returns a cosine from the first to the last rate, after a linear start of 200 steps."""
        first, last = self.settings.learning_rate, self.settings.final_learning_rate
        done = self.step / self.settings.steps
        if self._seconds is not None:
            done = min(1.0, self.seconds / max(self._seconds, 1e-9))
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return (last + (first - last) * cosine) * min(1.0, (self.step + 1) / 200)

    def _validate(self, loss: float) -> Progress:
        """Scores the averaged network, and writes down what it scored."""
        gains = self.validator.gains(self.average.module)
        progress = Progress(
            self.step, loss, gains.psnr, gains.gain, gains.worst, self.learning_rate()
        )
        self._log.append(progress)
        crops = self.validator.sheet(self.average.module, self.settings.name)
        write_png(self.folder / "crops.png", crops)
        return progress

    def _write_down(self, written: Path) -> None:
        try:
            dump(self.settings, written)
        except OSError as error:
            raise UserError(f"{written}: cannot be written: {error.strerror}") from None

    def _save(self) -> None:
        state = {
            "settings": self.settings.model_dump_json(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": self._losses,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        saved = BytesIO()  # torch would end the process where the disk is full
        torch.save(state, saved)
        with whole_file(self._checkpoint) as file:
            file.write(saved.getbuffer())

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        then = TrainSettings.model_validate_json(state["settings"])  # what it lacks: the defaults
        named = ((key, value) for key, value in then if key not in HOW_LONG)
        changed = [key for key, value in named if value != getattr(self.settings, key)]
        footage = self.settings.data.footage
        if changed == ["data"] and footage is not None and footage != then.data.footage:
            self.begun_again = True
            return
        if changed:
            raise UserError(
                f"run {str(self.folder)!r} was started with other settings ({', '.join(changed)}); "
                "give it another name, or remove the folder"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.seconds = state.get("seconds", 0.0)
        self._losses = state["losses"]
        self._log.forget_after(self.step)
