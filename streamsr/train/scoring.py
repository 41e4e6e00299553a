"""One model on its way through one clip: streamed, timed and compared frame by frame."""

from collections import deque
from dataclasses import dataclass
from statistics import fmean, median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamsr.core.errors import ModelError
from streamsr.core.frame import Frame, Plane
from streamsr.engine.colour import luma_of_rgb, network_input, network_output
from streamsr.engine.cuts import CutDetector
from streamsr.networks.facts import Colour
from streamsr.networks.sliding import Ready, SlidingWindow
from streamsr.train.results import Scores
from streamsr.train.scores import decibels, psnr, squared_error, ssim

__all__ = ["Run", "Truth"]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a frame is compared with."""

    luma: Tensor  # (h, w), in levels, not rounded where it comes from R'G'B'
    rgb: Tensor | None = None  # (h, w, 3) uint8; None where the clip is scored in 4:2:0

    @classmethod
    def of(cls, frame: Frame) -> "Truth":
        """R'G'B' in BT.601 luma, as MATLAB's ``rgb2ycbcr`` has it; 4:2:0 in its own luma, as if of
        limited range."""
        if not frame.is_rgb:
            return cls(network_input(frame, Colour.LUMA, torch.device("cpu"))[0].double() * 255)
        plane = torch.from_numpy(np.array(frame.planes[0]))
        return cls(luma_of_rgb(plane.permute(2, 0, 1).double() / 255)[0] * 255, plane)


class Run:
    """Takes frames as a camera shows them, each with its truth; ``finish`` gives the scores."""

    def __init__(self, clip: str, model: SlidingWindow, device: torch.device) -> None:
        self._clip = clip
        self._model = model
        self._device = device
        self._state: Any = None  # of the model; made with the first frame
        self._cuts = CutDetector()  # where a stream begins anew, and so do its scores
        self._pending: deque[tuple[Frame, Truth]] = deque()  # their window is not complete
        self._before: tuple[Tensor, Tensor] | None = None  # luma of the last frame, and its truth
        self._psnr: list[float] = []
        self._rgb: list[float] = []
        self._ssim: list[float] = []
        self._changes: list[float] = []  # squared error of what changed since the last frame
        self._shifts: list[list[float]] = []  # of each plane's mean, a frame
        self._ms: list[float] = []

    def push(self, low: Frame, truth: Truth) -> None:
        """Take a frame; score what that completes. Raises ModelError for what is not finite."""
        with torch.inference_mode():
            pixels = network_input(low, self._model.facts.colour, self._device)
            if self._state is None:
                self._state = self._model.start(1, *pixels.shape[1:])
            if self._cuts.is_cut(low.brightness):
                self._score(self._model.drain(self._state, 0))
                self._before = None
            self._pending.append((low, truth))
            self._score(self._model.push(pixels[None], self._state))

    def finish(self) -> Scores:
        """Score the last frames, and give the means of all."""
        with torch.inference_mode():
            self._score(self._model.drain(self._state, 0))
        return Scores(
            fmean(self._psnr),
            fmean(self._ssim),
            decibels(fmean(self._changes)) if self._changes else None,
            fmean(self._rgb) if self._rgb else None,
            max(abs(fmean(plane)) for plane in zip(*self._shifts, strict=True)),
            median(self._ms),
        )

    def _score(self, ready: list[Ready]) -> None:
        facts = self._model.facts
        for window in ready:
            low, truth = self._pending.popleft()
            output = self._timed(window).float()
            if not bool(torch.isfinite(output.sum())):
                raise ModelError(
                    f"clip {self._clip}, frame {low.pts}: the network gave values that are not "
                    "finite"
                )
            planes = network_output(output, low, facts.colour, facts.scale)
            upscaled = Truth.of(Frame(planes, low.colour, low.pts, low.time_base))
            self._compare(upscaled, truth)
            self._shifts.append(
                [a - b for a, b in zip(_means(planes), _means(low.planes), strict=True)]
            )

    def _compare(self, upscaled: Truth, truth: Truth) -> None:
        self._psnr.append(psnr(upscaled.luma, truth.luma))
        self._ssim.append(ssim(upscaled.luma, truth.luma))
        if upscaled.rgb is not None and truth.rgb is not None:
            self._rgb.append(psnr(upscaled.rgb, truth.rgb))
        if self._before is not None:
            change = upscaled.luma - self._before[0]
            self._changes.append(squared_error(change, truth.luma - self._before[1]))
        self._before = upscaled.luma, truth.luma

    def _timed(self, window: Ready) -> Tensor:
        start = perf_counter()
        ((_, output),) = self._model.run([window])
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._ms.append((perf_counter() - start) * 1e3)
        return output


def _means(planes: tuple[Plane, ...]) -> list[float]:
    """The mean of every plane, of packed R'G'B' that of every channel."""
    return [float(m) for plane in planes for m in np.atleast_1d(plane.mean((0, 1)))]
