"""What an evaluation found: the scores, and as JSON. Pure: no frame, no network."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

from pydantic_core import to_json

__all__ = [
    "ClipScores",
    "Cost",
    "Degradation",
    "Evaluation",
    "Scores",
    "gain_db",
]


class Degradation(StrEnum):
    """How what the models see is made of the ground truth."""

    BICUBIC = "bicubic"  # BI: shrunk by antialiased bicubic
    BD = "bd"  # blurred by a Gaussian of sigma 1.6 (at x4), then one pixel of a few kept
    CAMERA = "camera"  # shrunk by bicubic and coded in H.264 at several rates


@dataclass(frozen=True, slots=True)
class Scores:
    """What one model scored: on a clip the mean of its frames, on a set the mean of its clips."""

    psnr_db: float  # of luma; infinite where a frame came out as it was
    ssim: float
    temporal_db: float | None  # of what changes from frame to frame, all of it; None: one frame
    rgb_db: float | None  # of R'G'B'; None where what was seen is 4:2:0
    shift: float  # how far a plane's mean is off the input's, in levels: the worst plane
    ms: float  # a frame: CPU time in the network; of a GPU the time until it is there


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model takes."""

    parameters: int
    macs: float  # multiply-adds a pixel of the input, of one output


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One clip's scores, under one coding."""

    name: str
    frames: int
    size: str  # of the ground truth as it was cropped, "640x360"
    kbit_s: float | None  # at 320x180, of what the camera showed; None: not coded
    ours: Scores
    bicubic: Scores
    others: dict[str, Scores]  # by model

    @property
    def gain_db(self) -> float:
        """By how much the model is better than bicubic; 0 where both are exact."""
        return gain_db(self.ours, self.bicubic)

    def by_model(self, ours: str, plain: str) -> dict[str, Scores]:
        """Returns the scores of every model, the one called ``ours`` first, bicubic last."""
        return {ours: self.ours, **self.others, plain: self.bicubic}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of a model on a set of clips, beside bicubic and perhaps others."""

    model: str
    device: str
    scale: int
    degrade: Degradation | None  # None: what is seen was given
    clips: tuple[ClipScores, ...]
    costs: dict[str, Cost]  # by model
    precisions: dict[str, str]  # by model: what it ran in

    @property
    def plain(self) -> str:
        """What bicubic is called: at scale 1 it leaves the input as it is."""
        return "bicubic" if self.scale > 1 else "input"

    @property
    def seen(self) -> str:
        """What the models saw, in words."""
        return SEEN[self.degrade]

    @property
    def ours(self) -> Scores:
        """The means of the model."""
        return _mean([clip.ours for clip in self.clips])

    @property
    def bicubic(self) -> Scores:
        """The means of bicubic."""
        return _mean([clip.bicubic for clip in self.clips])

    @property
    def others(self) -> dict[str, Scores]:
        """The means of the models beside it, by name."""
        names = self.clips[0].others
        return {name: _mean([clip.others[name] for clip in self.clips]) for name in names}

    @property
    def gain_db(self) -> float:
        """By how much the model is better than bicubic; 0 where both are exact."""
        return gain_db(self.ours, self.bicubic)

    @property
    def least_gain_db(self) -> float:
        """The gain on the clip where it is least."""
        return min(clip.gain_db for clip in self.clips)

    def by_model(self) -> dict[str, Scores]:
        """Returns the means of every model, the one in question first, bicubic last."""
        return {self.model: self.ours, **self.others, self.plain: self.bicubic}

    def to_json(self) -> dict[str, Any]:
        """Returns plain values; an infinite PSNR is None, since JSON has no such number."""
        means = ("ours", "bicubic", "others", "gain_db", "least_gain_db")
        data = {**asdict(self), **{name: getattr(self, name) for name in means}}
        plain: dict[str, Any] = json.loads(to_json(data, inf_nan_mode="null"))
        return plain


def _mean(scores: Sequence[Scores]) -> Scores:
    """The mean of clips' scores, each clip counting alike; of the shifts the worst."""
    return Scores(
        fmean(s.psnr_db for s in scores),
        fmean(s.ssim for s in scores),
        _known_mean([s.temporal_db for s in scores]),
        _known_mean([s.rgb_db for s in scores]),
        max(s.shift for s in scores),
        fmean(s.ms for s in scores),
    )


SEEN = {
    None: "given",
    Degradation.BICUBIC: "bicubic",
    Degradation.BD: "BD",
    Degradation.CAMERA: "as cameras code it",
}


def gain_db(ours: Scores, bicubic: Scores) -> float:
    """Returns by how much ours are better; 0 where both are exact."""
    return 0.0 if ours.psnr_db == bicubic.psnr_db else ours.psnr_db - bicubic.psnr_db


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
