"""A network against bicubic on what a camera sends: its frames, shrunk, as if it had sent those.

Owns a stream's verdict and the arithmetic behind it; runs no network, knows no thread and no clock.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean, median
from typing import Self

import cv2
import numpy as np
from torch import Tensor

from streamsr.core.frame import Frame, Plane
from streamsr.engine.colour import network_input
from streamsr.engine.resample import resize_frame
from streamsr.media.camera_codec import CameraCoding, QuantiserSearch, coded
from streamsr.networks.facts import Colour

__all__ = ["CHECKS", "MARGIN_DB", "BicubicComparison", "NothingToCompareError", "ShrunkClip"]

CHECKS = 11  # their median decides: no one scene, and no passing one, is an alarm
MARGIN_DB = 0.05  # what is closer is level: nobody sees which of the two runs
SMALLEST = 32  # pixels of a shrunk frame's side: below it most of it is border
FLAT = 0.65  # levels²: where both err less, at 50 dB, what is left between them is rounding
CODED_TWICE = 3  # quantiser steps that a search is below the camera: its frames code easily
MOST_QUANTISER = 51  # of H.264
LEAST_DETAIL = 0.25  # of an octave beside the next coarser one
NOISE_ONLY = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # edges leave nothing
BLOCK, EVEN_PART = 8, 20  # pixels of a side; per cent of the blocks
EVEN_NOISE = 0.855  # of pure noise's deviation is in that part of the blocks


class BicubicComparison:
    """A network against bicubic on one stream: it loses once the median of its last checks is
    below 0 dB, and wins once it is above, by ``MARGIN_DB``. After each change of that as many
    checks must be made again before the next."""

    def __init__(self) -> None:
        self.loses = False
        self.newest_db: float | None = None  # PSNR above bicubic's; None: the last check gave none
        self._gains_db: deque[float] = deque(maxlen=CHECKS)  # since the last change

    def take(self, gained_db: float) -> float | None:
        """Takes a check; where it changes which of the two wins, returns the median in dB."""
        self.newest_db = gained_db
        self._gains_db.append(gained_db)
        middle_db = median(self._gains_db)
        changed = middle_db > MARGIN_DB if self.loses else middle_db < -MARGIN_DB
        if len(self._gains_db) < CHECKS or not changed:
            return None
        self.loses = not self.loses
        self._gains_db.clear()
        return middle_db

    def miss(self) -> None:
        """Notes a check that gave no figure: it decides nothing."""
        self.newest_db = None


class NothingToCompareError(Exception):
    """There is nothing that a check could say of these frames: why."""


@dataclass(frozen=True, slots=True)
class ShrunkClip:
    """What a camera sent, and what it would have sent of the same scene in a smaller size."""

    truth: Sequence[Frame]
    small: Sequence[Frame]

    @classmethod
    def of(cls, sent: Sequence[Frame], scale: Fraction, search: QuantiserSearch) -> Self:
        """Makes a clip of consecutive frames, ``scale`` being how much smaller: 1 or more.

        What was coded is coded again, as ``search`` finds. For a scale of 1 both are half as large
        as what was sent: shrunk, it is free of the artefacts that a network is to remove. Raises
        NothingToCompareError where the frames are too small, and InputError where they cannot be
        coded.
        """
        halving = 2 if scale == 1 else 1
        smallest = math.ceil(SMALLEST * halving * scale)
        width, height = sent[-1].width, sent[-1].height
        if min(width, height) < smallest:
            raise NothingToCompareError(
                f"a frame of {width}x{height} is too small for it: allowed are sides from "
                f"{smallest} on"
            )
        whole = [frame.cropped(2 * halving * scale.numerator) for frame in sent]
        truth = [_shrunk(frame, Fraction(halving)) for frame in whole]
        small = [_shrunk(frame, scale) for frame in truth]
        if all(frame.packet_bytes and not frame.is_rgb for frame in sent):
            small = _coded(small, whole, search)
        return cls(truth, small)

    def gain_db(self, upscaled: Sequence[Frame], counted: slice) -> float:
        """Returns by how much the luma PSNR of ``upscaled`` is above that of bicubic, over the
        frames that are ``counted``, in dB. Raises NothingToCompareError where they are flat."""
        size, truth = (self.truth[0].width, self.truth[0].height), self.truth[counted]
        plain = [resize_frame(frame, *size) for frame in self.small[counted]]
        bicubic_error, error = (_squared_error(f, truth) for f in (plain, upscaled[counted]))
        if max(bicubic_error, error) < FLAT:
            raise NothingToCompareError("the frame is flat: there is nothing to gain")
        return 10 * math.log10(max(bicubic_error, FLAT / 100) / max(error, FLAT / 100))


def _shrunk(frame: Frame, by: Fraction) -> Frame:
    """A frame whose sides ``by`` divides, in so much a smaller size."""
    return resize_frame(frame, int(frame.width / by), int(frame.height / by))


def _coded(small: Sequence[Frame], sent: Sequence[Frame], search: QuantiserSearch) -> list[Frame]:
    """The shrunk frames as they would have come had their camera sent them.

    Shrinking leaves the scene's detail in its octaves and takes the noise of sensor and codec out
    of them: how much detail there is a octave tells how much of both there is beside it at full
    size, and the frames get as much.
    """
    octaves = math.log2(sent[0].height / small[0].height)
    less = (1 / _detail(sent[-1])) ** octaves  # detail than noise of the same energy
    quantiser = search.of(sent) + CODED_TWICE + round(3 * math.log2(less))  # six steps: 4 times
    full = small[0].colour.full_range
    coding = CameraCoding(qp=min(quantiser, MOST_QUANTISER), gop=len(small), full_range=full)
    noise = _noise(sent[-1]) * math.sqrt(less)
    random = np.random.default_rng(0)
    return [_with_noise(frame, noise, random) for frame in coded(small, coding)]


def _with_noise(frame: Frame, deviation: float, random: np.random.Generator) -> Frame:
    """The frame with noise on its luma, in levels."""
    luma = frame.planes[0] + random.normal(0, deviation, frame.planes[0].shape)
    noisy: Plane = np.rint(luma).clip(0, 255).astype(np.uint8)
    return replace(frame, planes=(noisy, *frame.planes[1:]))


def _noise(frame: Frame) -> float:
    """The standard deviation of a frame's noise in levels, where it shows: in its even parts.

    By what a Laplacian's second difference leaves of them (J. Immerkaer, Fast noise variance
    estimation, 1996).
    """
    luma = frame.planes[0].astype(np.float32)
    differences = np.square(cv2.filter2D(luma, -1, NOISE_ONLY))
    height, width = (side // BLOCK * BLOCK for side in luma.shape)
    blocks = differences[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    even = np.percentile(blocks.mean((1, 3)), EVEN_PART) / np.square(NOISE_ONLY).sum()
    return math.sqrt(even) / EVEN_NOISE


def _detail(frame: Frame) -> float:
    """How much of the energy that an octave has the next finer one has: 1 where all have as much.

    Of the two that are below the finest one, which holds artefacts.
    """
    half = _shrunk(frame.cropped(16), Fraction(2))
    quarter = _shrunk(half, Fraction(2))
    finer, coarser = (_lost(frame) for frame in (half, quarter))
    return min(max(finer / max(coarser, FLAT), LEAST_DETAIL), 1.0)


def _lost(frame: Frame) -> float:
    """What shrinking to half takes from a frame, as mean squared error."""
    half = _shrunk(frame, Fraction(2))
    return _squared_error([resize_frame(half, frame.width, frame.height)], [frame])


def _squared_error(frames: Sequence[Frame], truth: Sequence[Frame]) -> float:
    pairs = zip(frames, truth, strict=True)
    return fmean(float((_luma(a) - _luma(b)).square().mean()) for a, b in pairs)


def _luma(frame: Frame) -> Tensor:
    """(h, w) in levels of limited range."""
    return network_input(frame, Colour.LUMA)[0] * 255
