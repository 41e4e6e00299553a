"""How a network in training does on clips that it is not trained on: figures, and crops to see."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from streamsr.core.frame import Plane
from streamsr.networks.facts import Facts
from streamsr.networks.resample import resize
from streamsr.train.chart import sheet
from streamsr.train.data import Clip, Pixels, degrade_bicubic
from streamsr.train.scores import psnr
from streamsr.train.unrolled import Unrolled

__all__ = ["Gains", "Validator"]

SHEET_SIDE = 160  # pixels of a crop
SHEET_ROWS = 6


Pictures = tuple[Tensor, Tensor, Tensor]
"""Bicubic, the network's picture and the truth, (c, h, w) each, in whole levels."""


@dataclass(frozen=True, slots=True)
class Gains:
    """Means over clips and their codings."""

    psnr: float  # luma or RGB dB
    gain: float  # of it over bicubic
    worst: float  # where the gain is least


class Validator:
    """Scores a few frames in a row of each clip, as the network would be given them in a stream."""

    def __init__(
        self,
        clips: Sequence[Clip],
        facts: Facts,
        frames: int,
        device: torch.device,
        *,
        bfloat16: bool,
    ) -> None:
        self.clips = clips
        self._facts = facts
        self._frames = frames  # of a clip that are scored
        self._device = device
        self._bfloat16 = bfloat16

    def halves(self) -> tuple["Validator", "Validator"]:
        """The same for the first and for the second half of each clip that has two windows."""
        firsts, seconds = zip(*(_halves(c, self._facts.window) for c in self.clips), strict=True)
        return self._of(firsts), self._of(seconds)

    def _of(self, clips: Sequence[Clip]) -> "Validator":
        facts, frames, device = self._facts, self._frames, self._device
        return Validator(clips, facts, frames, device, bfloat16=self._bfloat16)

    def gains(self, network: nn.Module) -> Gains:
        """Score ``network`` on every clip under every coding."""
        pairs = [
            self._score(network, clip, shown) for clip in self.clips for shown in codings(clip)
        ]
        ours, plain = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        return Gains(ours, ours - plain, min(score - bicubic for score, bicubic in pairs))

    def sheet(self, network: nn.Module, name: str) -> Plane:
        """Crops of some clips: bicubic, ours, the truth. (h, w, 3)."""
        rows = []
        chosen = np.linspace(0, len(self.clips) - 1, min(SHEET_ROWS, len(self.clips))).astype(int)
        for number, index in enumerate(chosen):
            clip = self.clips[index]
            shown = codings(clip)
            *_, last = self._pictures(network, clip, shown[number % len(shown)])
            pictures = zip(("bicubic", name, "truth"), last, strict=True)
            rows.append((clip.name, [(title, _middle(picture)) for title, picture in pictures]))
        return sheet(rows)

    def _score(self, network: nn.Module, clip: Clip, shown: Pixels | None) -> tuple[float, float]:
        """Mean PSNR of the network and of bicubic."""
        scores = [
            (psnr(output, truth), psnr(bicubic, truth))
            for bicubic, output, truth in self._pictures(network, clip, shown)
        ]
        ours, plain = (sum(column) / len(scores) for column in zip(*scores, strict=True))
        return ours, plain

    def _pictures(self, network: nn.Module, clip: Clip, shown: Pixels | None) -> Iterator[Pictures]:
        facts = self._facts
        low, truth = self._frames_of(clip, shown)
        first = facts.window - 1 - facts.lookahead
        unrolled = Unrolled(network, facts, truncate=1)
        with torch.inference_mode():
            for output, span in unrolled.parts(low[None].to(self._device), self._precision):
                frame = first + span.start
                bicubic = resize(low[frame], facts.scale)
                picture = _quantised(output[0, 0].cpu())
                yield _quantised(bicubic), picture, _quantised(truth[frame])

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16)

    def _frames_of(self, clip: Clip, shown: Pixels | None) -> tuple[Tensor, Tensor]:
        """What the network sees of a clip's middle, and the truth of it."""
        facts = self._facts
        count = min(len(clip.pixels), self._frames + facts.window - 1)
        first = (len(clip.pixels) - count) // 2
        frames = slice(first, first + count)
        side = facts.scale * facts.multiple
        height, width = (s - s % side for s in clip.pixels.shape[2:])
        truth = _floats(clip.pixels[frames, :, :height, :width])
        if shown is None:
            return degrade_bicubic(truth, facts.scale), truth
        rows, columns = height // facts.scale, width // facts.scale
        return _floats(shown[frames, :, :rows, :columns]), truth


def _halves(clip: Clip, window: int) -> tuple[Clip, Clip]:
    middle = len(clip.pixels) // 2
    if middle < window:
        return clip, clip
    return clip.part(slice(middle)), clip.part(slice(middle, None))


def codings(clip: Clip) -> Sequence[Pixels | None]:
    """Each way in which cameras show the clip; None where it is only shrunk."""
    return [None] if clip.codings is None else list(clip.codings)


def _floats(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pixels)).float() / 255


def _quantised(picture: Tensor) -> Tensor:
    return (picture * 255).round().clamp(0, 255)


def _middle(picture: Tensor) -> Plane:
    """The middle of (1 or 3, h, w) levels as (h, w, 3) R'G'B'; luma becomes grey."""
    top, left = ((side - min(side, SHEET_SIDE)) // 2 for side in picture.shape[1:])
    crop = picture[:, top : top + SHEET_SIDE, left : left + SHEET_SIDE]
    if len(crop) == 1:
        crop = ((crop - 16) * (255 / 219)).clamp(0, 255).expand(3, -1, -1)
    view: Plane = crop.permute(1, 2, 0).round().to(torch.uint8).contiguous().numpy()
    return view
