"""The training loop: one run from its settings to a model folder, resumable at any checkpoint.

The data of a step depends on the seed and the step alone, so that a resumed run sees what an
unbroken one would have seen.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from streamsr.errors import UserError
from streamsr.networks.resample import resize
from streamsr.train.data import Clip, Crops, Pixels, degrade_bicubic
from streamsr.train.footage import Footage
from streamsr.train.scores import psnr
from streamsr.train.settings import TrainSettings
from streamsr.train.start import start_from
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Weights, write_card
from streamsr.zoo.registry import find, in_channels_last, make_network
from streamsr.zoo.weights import write_weights

__all__ = ["Progress", "Trainer", "charbonnier"]

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
        torch.manual_seed(settings.seed)
        self.network = in_channels_last(make_network(settings.model))
        if settings.init is not None:
            start_from(self.network, find(settings.init))
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay),  # type: ignore[no-untyped-call]
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        footage = Footage(settings.data, self.facts, settings.seed, prepared)
        self.valid = footage.valid()
        self.crops = Crops(
            footage.train(),
            side=settings.data.patch * self.facts.scale,
            window=self.facts.window + (settings.temporal > 0),
            batch=settings.batch,
            seed=settings.seed,
            scale=self.facts.scale,
            shrink=settings.data.shrink,
        )
        self._resume()

    def run(self, report: Callable[[Progress], None]) -> Path:
        """Train to the last step and give the folder of the finished model."""
        settings = self.settings
        losses: list[float] = []
        while self.step < settings.steps:
            losses.append(self._step())
            done = self.step == settings.steps
            if done or self.step % settings.valid_every == 0:
                progress = self._validated(sum(losses) / len(losses))
                losses.clear()
                self._log(progress)
            else:
                progress = Progress(self.step, losses[-1])
            if done or self.step % settings.save_every == 0:
                self._save()
            report(progress)
        return self.export()

    def last_validation(self) -> Progress | None:
        """What the run's log ends with."""
        log = self.folder / LOG_NAME
        if not log.exists():
            return None
        line = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
        return Progress(line["step"], line["loss"], *(line.get(key) for key in VALIDATED))

    def export(self) -> Path:
        """Write the averaged network as a model folder."""
        folder = self.folder / self.settings.name
        folder.mkdir(exist_ok=True)
        sha256 = write_weights(folder / WEIGHTS_NAME, self.average.module)
        card = self.settings.model.model_copy(update={"weights": Weights(sha256=sha256)})
        write_card(card, folder / CARD_NAME)
        return folder

    def _step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        low, truth = self.crops.at(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(low, truth)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return float(loss.detach())

    def _loss(self, low: Tensor, truth: Tensor) -> Tensor:
        """Of one window, or of two in a row and what changes between them."""
        window, temporal = self.facts.window, self.settings.temporal
        windows = [low[:, first : first + window] for first in range(low.shape[1] - window + 1)]
        with self._precision():
            output = self.network(torch.cat(windows)).float()
        reference = window - 1 - self.facts.lookahead
        wanted = truth[:, reference : reference + len(windows)].transpose(0, 1)
        loss = charbonnier(output, wanted.flatten(0, 1))
        if temporal:
            before, after = output.chunk(2)
            loss = loss + temporal * charbonnier(after - before, wanted[1] - wanted[0])
        return loss

    def _learning_rate(self) -> float:
        """A cosine from the first to the last rate, after a linear start of 200 steps."""
        first, last = self.settings.learning_rate, self.settings.final_learning_rate
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self.settings.steps))
        return (last + (first - last) * cosine) * min(1.0, (self.step + 1) / 200)

    def _validated(self, loss: float) -> Progress:
        scores = [score for clip in self.valid for score in self._scores(clip)]
        ours, plain = (sum(column) / len(scores) for column in zip(*scores, strict=True))
        worst = min(score - bicubic for score, bicubic in scores)
        return Progress(self.step, loss, ours, ours - plain, worst)

    def _scores(self, clip: Clip) -> list[tuple[float, float]]:
        """PSNR of the averaged network and of bicubic, for each of the clip's codings."""
        if clip.codings is None:
            return [self._score(clip, None)]
        return [self._score(clip, shown) for shown in clip.codings]

    def _score(self, clip: Clip, shown: Pixels | None) -> tuple[float, float]:
        """Their means over some frames of a clip; what the network sees is ``shown``, or
        bicubic's."""
        facts, network = self.facts, self.average.module
        before = facts.window - 1 - facts.lookahead
        last = len(clip.pixels) - facts.lookahead - 1
        places = torch.linspace(before, last, self.settings.data.valid_frames).long()
        height, width = (s - s % (facts.scale * facts.multiple) for s in clip.pixels.shape[2:])
        ours, plain = [], []
        for centre in sorted(set(places.tolist())):
            window = slice(centre - before, centre + facts.lookahead + 1)
            truth = _floats(clip.pixels[window, :, :height, :width])
            if shown is None:
                low = degrade_bicubic(truth, facts.scale)
            else:
                low = _floats(shown[window, :, : height // facts.scale, : width // facts.scale])
            with torch.inference_mode(), self._precision():
                output = network(low[None])[0]
            target = truth[before] * 255
            ours.append(psnr(_quantised(output.float()), target))
            plain.append(psnr(_quantised(resize(low[before], facts.scale)), target))
        return sum(ours) / len(ours), sum(plain) / len(plain)

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    def _log(self, progress: Progress) -> None:
        line = {
            "step": progress.step,
            "loss": progress.loss,
            "psnr_db": progress.psnr,
            "gain_db": progress.gain,
            "worst_db": progress.worst,
            "learning_rate": self._learning_rate(),
        }
        with (self.folder / LOG_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _save(self) -> None:
        partial = self._checkpoint.with_suffix(".partial")
        state = {
            "settings": self.settings.model_dump_json(),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, weights_only=True)
        then, now = (
            json.loads(text) for text in (state["settings"], self.settings.model_dump_json())
        )
        changed = [key for key in now if then.get(key) != now[key]]
        if changed:
            raise UserError(
                f"run {str(self.folder)!r} was started with other settings ({', '.join(changed)}); "
                "give it another name, or remove the folder"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def _floats(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pixels)).float() / 255


def _quantised(picture: Tensor) -> Tensor:
    return (picture * 255).round().clamp(0, 255)
