"""Scores of the super-resolution papers, and one model scored on one clip, frame by frame."""

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from time import perf_counter

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from streamsr.core.errors import ModelError
from streamsr.core.events import Event
from streamsr.core.frame import Frame, Plane
from streamsr.core.metrics import Meter
from streamsr.engine.base import ModelEngine, StreamRequest
from streamsr.engine.colour import luma_of_rgb, network_input
from streamsr.engine.discontinuity import CutDetector
from streamsr.networks.contract import RecurrentNetwork, StreamingNetwork
from streamsr.networks.facts import Colour, Facts
from streamsr.train.results import Cost, Scores

__all__ = ["ClipScorer", "Truth", "cost_of", "psnr", "ssim"]

COMPILER = "TORCHINDUCTOR_CACHE_DIR"  # which torch's compiler sets, as it is imported
COST_SIDE = 64  # pixels: what is counted on, large enough that borders hardly matter


def psnr(output: Tensor, truth: Tensor) -> float:
    """Returns the peak signal-to-noise ratio in dB of 8-bit levels, any shape; inf if equal."""
    return decibels(squared_error(output, truth))


def squared_error(output: Tensor, truth: Tensor) -> float:
    """Returns the mean squared error of levels, any shape."""
    return F.mse_loss(output.double(), truth.double()).item()


def decibels(error: float) -> float:
    """Returns a mean squared error of 8-bit levels as peak signal-to-noise ratio; inf for 0."""
    return float("inf") if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(output: Tensor, truth: Tensor) -> float:
    """Returns the structural similarity of two (h, w) planes of 8-bit levels.

    11 x 11 Gaussian of sigma 1.5, no padding (Wang et al., Image quality assessment: from error
    visibility to structural similarity, 2004).
    """
    x, y = (plane.double().numpy() for plane in (output, truth))
    mean_x, mean_y, squares, product = (
        cv2.GaussianBlur(plane, (11, 11), 1.5)[5:-5, 5:-5] for plane in (x, y, x * x + y * y, x * y)
    )
    variances = squares - mean_x**2 - mean_y**2
    covariance = product - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((similarity / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))).mean())


def cost_of(network: nn.Module, facts: Facts) -> Cost:
    """Counts the parameters, and the multiply-adds of one output as it is computed.

    Convolutions and matrix products count, those of the bicubic skip with them.
    """
    with _left_as_it_was():
        return _counted(network, facts)


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    """Undoes what importing torch's compiler does to a process, which counting brings about."""
    before = os.environ.get(COMPILER)
    with warnings.catch_warnings():
        yield
    if before is None:
        os.environ.pop(COMPILER, None)


def _counted(network: nn.Module, facts: Facts) -> Cost:
    like = next(network.parameters(), torch.empty(0))
    side = facts.multiple * -(-COST_SIDE // facts.multiple)
    window = torch.zeros(1, facts.window, facts.colour.channels, side, side, device=like.device)
    # with gradients off, yet not in inference mode, where a fused operator is not counted
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        again = _run(network, window)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as repeated:
        again()
    times = facts.window - 1
    flops = counter.get_total_flops() + times * repeated.get_total_flops()
    return Cost(parameters, flops / 2 / side**2)


def _run(network: nn.Module, window: Tensor) -> Callable[[], object]:
    """Does the work on one output; returns what is to be done once more for each further frame."""
    if isinstance(network, StreamingNetwork):
        frame = window[:, 0]
        features = network.features(frame)
        reference = network.reference(features)
        align = partial(network.align, features, reference)
        network.restore([align()] * window.shape[1], frame)
        return align
    memory = [network.fresh(1, *window.shape[3:])] if isinstance(network, RecurrentNetwork) else []
    network(window, *memory)
    return lambda: None


@dataclass(frozen=True, slots=True)
class Truth:
    """What a frame is compared with."""

    luma: Tensor  # (h, w), in levels, not rounded where it comes from R'G'B'
    rgb: Tensor | None = None  # (h, w, 3) uint8; None where the clip is scored in 4:2:0

    @classmethod
    def of(cls, frame: Frame) -> "Truth":
        """Returns R'G'B' in BT.601 luma, as MATLAB's ``rgb2ycbcr`` has it; 4:2:0 in its own luma,
        brought to limited range."""
        if not frame.is_rgb:
            return cls(network_input(frame, Colour.LUMA, torch.device("cpu"))[0].double() * 255)
        plane = torch.from_numpy(np.array(frame.planes[0]))
        return cls(luma_of_rgb(plane.permute(2, 0, 1).double() / 255)[0] * 255, plane)


class ClipScorer:
    """Streams the frames of one clip through an engine, as ``upscale`` does, times it and scores
    what comes out."""

    def __init__(self, clip: str, engine: ModelEngine) -> None:
        self._clip = clip
        self._engine = engine
        self._failures: list[Event] = []
        self._stream = engine.stream(StreamRequest(clip, Meter(), self._failures.append))
        self._cuts = CutDetector()  # what changes across them is no flicker
        self._pushed: deque[tuple[Frame, Truth, bool]] = deque()  # and whether a cut is before it
        self._upscaled: deque[Future[Frame]] = deque()
        self._before: tuple[Tensor, Tensor] | None = None  # luma of the last frame, and its truth
        self._psnr: list[float] = []
        self._rgb: list[float] = []
        self._ssim: list[float] = []
        self._changes: list[float] = []  # squared error of what changed since the last frame
        self._shifts: list[list[float]] = []  # of each plane's mean, a frame
        self._taken_s = 0.0  # by the engine, others' work beside it included

    def push(self, low: Frame, truth: Truth) -> None:
        """Takes a frame; scores what is done. Raises ModelError where the network fails."""
        self._pushed.append((low, truth, self._cuts.is_cut(low.brightness)))
        started_s = perf_counter()
        self._upscaled += self._stream.push(low)
        self._taken_s += perf_counter() - started_s
        while len(self._upscaled) > self._engine.workers:
            self._score()

    def finish(self) -> Scores:
        """Scores the last frames, and returns the means of all: at least one was pushed."""
        self._upscaled += self._stream.flush()
        while self._upscaled:
            self._score()
        return Scores(
            fmean(self._psnr),
            fmean(self._ssim),
            decibels(fmean(self._changes)) if self._changes else None,
            fmean(self._rgb) if self._rgb else None,
            max(abs(fmean(plane)) for plane in zip(*self._shifts, strict=True)),
            self._ms(),
        )

    def _ms(self) -> float:
        """Milliseconds a frame: the CPU's in the network, or those that a GPU's stream takes."""
        if self._engine.device.type == "cpu":
            return self._stream.meter.cpu_ms()["network"]
        return self._taken_s * 1e3 / len(self._psnr)

    def _score(self) -> None:
        started_s = perf_counter()
        frame = self._upscaled.popleft().result()
        self._taken_s += perf_counter() - started_s
        if self._failures:
            reason, _, _ = self._failures[0].message.partition(";")  # what is done about it follows
            raise ModelError(f"clip {self._clip}: {reason}")
        self._stream.meter.count("out")
        low, truth, after_cut = self._pushed.popleft()
        if after_cut:
            self._before = None
        self._compare(Truth.of(frame), truth)
        self._shifts.append(
            [a - b for a, b in zip(_means(frame.planes), _means(low.planes), strict=True)]
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


def _means(planes: tuple[Plane, ...]) -> list[float]:
    """The mean of every plane, of packed R'G'B' that of every channel."""
    return [float(m) for plane in planes for m in np.atleast_1d(plane.mean((0, 1)))]
