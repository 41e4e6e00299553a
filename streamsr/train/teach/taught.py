"""What became of teaching: where the new model is, what it scored, and what its card says of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

from streamsr.core.config import dump, load
from streamsr.core.errors import OutputError
from streamsr.train.results import Evaluation
from streamsr.zoo.card import CARD_NAME, Card

__all__ = ["Stage", "Taught", "write_figures"]


@dataclass(frozen=True, slots=True)
class Stage:
    """How far it has come, in words and numbers."""

    stage: str
    done: int
    of: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Taught:
    """What became of it."""

    begun_with: str  # the family's member
    folder: Path | None  # of the new model; None: it was not better
    begun_again: bool  # what was trained under this name before was on another recording
    steps: int
    pairs: Mapping[str, int]  # frames of each part
    scale: int
    exact: bool  # the truth is the main stream's own pixels; False: they were resampled
    lag_s: float
    drift: float
    moving: float
    left: float  # what the sub-stream shows of the main stream, in its pixels
    top: float
    width: float
    height: float
    alike: float
    before: Evaluation  # of the member it began with, on what training did not see
    after: Evaluation
    there: Evaluation | None  # of the model of this name that was there, likewise

    @property
    def better(self) -> bool:
        """Whether the new model is the best of all: it may be the one that was there already."""
        ours = self.after.ours.psnr_db
        there = -inf if self.there is None else self.there.ours.psnr_db
        return ours > self.before.ours.psnr_db and ours >= there

    @property
    def improvement_db(self) -> float:
        """How much better the new model is than the one it began with."""
        return self.after.ours.psnr_db - self.before.ours.psnr_db

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        plain = asdict(self)
        for name in ("before", "after", "there"):
            del plain[name]
        return plain | {
            "folder": None if self.folder is None else str(self.folder),
            "better": self.better,
            "frames_unseen": sum(clip.frames for clip in self.after.clips),
            "psnr_bicubic_db": self.before.bicubic.psnr_db,
            "psnr_there_db": None if self.there is None else self.there.ours.psnr_db,
            "psnr_before_db": self.before.ours.psnr_db,
            "psnr_db": self.after.ours.psnr_db,
            "ssim_before": self.before.ours.ssim,
            "ssim": self.after.ours.ssim,
            "gain_before_db": self.before.gain_db,
            "gain_db": self.after.gain_db,
            "improvement_db": self.improvement_db,
        }


def write_figures(folder: Path, taught: Taught) -> None:
    """Writes into the card what was measured."""
    card = load(folder / CARD_NAME, Card)
    before, after = taught.before, taught.after
    frames = sum(clip.frames for clip in after.clips)
    figures = {
        "luma PSNR": f"{after.ours.psnr_db:.2f} dB, bicubic {after.bicubic.psnr_db:.2f} dB, "
        f"{taught.begun_with} {before.ours.psnr_db:.2f} dB, on {frames} frames of the end of the "
        "recording, which training did not see (streamsr teach)",
        "luma SSIM": f"{after.ours.ssim:.4f}, bicubic {after.bicubic.ssim:.4f}, "
        f"{taught.begun_with} {before.ours.ssim:.4f}, of the same run",
    }
    try:
        dump(card.model_copy(update={"figures": figures}), folder / CARD_NAME)
    except OSError as error:
        raise OutputError(f"{folder / CARD_NAME}: cannot be written: {error.strerror}") from None
