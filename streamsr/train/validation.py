"""How a network in training does on clips that it is not trained on: figures, and crops to see."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from streamsr.core.frame import Plane
from streamsr.networks.facts import Facts
from streamsr.networks.resample import resize
from streamsr.train.clips import Clip, Pixels
from streamsr.train.frames import degrade_bicubic, whole_levels
from streamsr.train.network import unrolled
from streamsr.train.scoring import psnr
from streamsr.train.sheets import middle, sheet

__all__ = ["Gains", "Validator"]

SHEET_SIDE = 160  # pixels of a crop
SHEET_ROWS = 6


@dataclass(frozen=True, slots=True)
class Gains:
    """Means over clips and their codings."""

    psnr: float  # luma or RGB dB
    gain: float  # of it over bicubic
    worst: float  # where the gain is least


@dataclass(frozen=True, slots=True)
class Validator:
    """Scores a few frames in a row of each clip, which the network gets as it would in a stream."""

    clips: Sequence[Clip]
    facts: Facts
    frames: int  # of a clip that are scored
    device: torch.device
    bfloat16: bool  # the network runs under autocast

    def halves(self) -> tuple["Validator", "Validator"]:
        """Returns the same for the first and the second half of each clip of two windows or more;
        a shorter clip is in both."""
        halves = [_halves(clip, self.facts.window) for clip in self.clips]
        first, second = zip(*halves, strict=True)
        return replace(self, clips=first), replace(self, clips=second)

    def gains(self, network: nn.Module) -> Gains:
        """Scores ``network`` on every clip under every coding."""
        pairs = [self._score(network, clip, seen) for clip in self.clips for seen in _codings(clip)]
        ours, plain = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        return Gains(ours, ours - plain, min(score - bicubic for score, bicubic in pairs))

    def sheet(self, network: nn.Module, name: str) -> Plane:
        """Returns crops of some clips, (h, w, 3): bicubic, ``network`` by its name, the truth.

        At scale 1 bicubic is the input as it is.
        """
        names = ("bicubic" if self.facts.scale > 1 else "input", name, "truth")
        rows = []
        chosen = np.linspace(0, len(self.clips) - 1, min(SHEET_ROWS, len(self.clips))).astype(int)
        for number, index in enumerate(chosen):
            clip = self.clips[index]
            codings = _codings(clip)
            *_, last = self._compared(network, clip, codings[number % len(codings)])
            images = [middle(image, SHEET_SIDE, SHEET_SIDE) for image in last]
            rows.append((clip.name, list(zip(names, images, strict=True))))
        return sheet(rows)

    def _score(self, network: nn.Module, clip: Clip, seen: Pixels | None) -> tuple[float, float]:
        """Mean PSNR of the network and of bicubic."""
        scores = [
            (psnr(output, truth), psnr(bicubic, truth))
            for bicubic, output, truth in self._compared(network, clip, seen)
        ]
        ours, plain = (sum(column) / len(scores) for column in zip(*scores, strict=True))
        return ours, plain

    def _compared(
        self, network: nn.Module, clip: Clip, seen: Pixels | None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Bicubic, the network's output and the truth, (c, h, w) each, in whole levels."""
        facts = self.facts
        low, truth = self._frames_of(clip, seen)
        first = facts.window - 1 - facts.lookahead
        parts = unrolled(network, facts, low[None].to(self.device), 1, bfloat16=self.bfloat16)
        with torch.inference_mode():
            for output, span in parts:
                frame = first + span.start
                bicubic = resize(low[frame], facts.scale)
                ours = output[0, 0].cpu()
                yield whole_levels(bicubic), whole_levels(ours), whole_levels(truth[frame])

    def _frames_of(self, clip: Clip, seen: Pixels | None) -> tuple[Tensor, Tensor]:
        """What the network sees of a clip's middle, and the truth of it."""
        facts = self.facts
        count = min(len(clip.pixels), self.frames + facts.window - 1)
        first = (len(clip.pixels) - count) // 2
        frames = slice(first, first + count)
        side = facts.scale * facts.multiple
        height, width = (s - s % side for s in clip.pixels.shape[2:])
        truth = _floats(clip.pixels[frames, :, :height, :width])
        if seen is None:
            return degrade_bicubic(truth, facts.scale), truth
        rows, columns = height // facts.scale, width // facts.scale
        return _floats(seen[frames, :, :rows, :columns]), truth


def _halves(clip: Clip, window: int) -> tuple[Clip, Clip]:
    middle = len(clip.pixels) // 2
    if middle < window:
        return clip, clip
    return clip.part(slice(middle)), clip.part(slice(middle, None))


def _codings(clip: Clip) -> Sequence[Pixels | None]:
    """Each way in which cameras show the clip; None where it is only shrunk."""
    return [None] if clip.codings is None else list(clip.codings)


def _floats(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pixels)).float() / 255
