"""What an evaluation found: the scores, as JSON and as a table. Pure: no picture, no network."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from statistics import fmean
from typing import Any

from rich.table import Table

__all__ = ["ClipScores", "Evaluation", "Scores", "evaluation_table", "mean_of"]


@dataclass(frozen=True, slots=True)
class Scores:
    """What one model reached: on a clip the mean of its frames, on a set the mean of its clips."""

    psnr_db: float  # of BT.601 luma; infinite where a picture came out as it was
    ssim: float
    ms: float  # median a frame, the network alone


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One clip's scores."""

    name: str
    frames: int
    size: str  # of the ground truth as it was cropped, "640x360"
    ours: Scores
    bicubic: Scores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of a model on a set of clips."""

    model: str
    device: str
    scale: int
    clips: tuple[ClipScores, ...]
    ours: Scores
    bicubic: Scores

    @property
    def gain_db(self) -> float:
        """How far the model is above bicubic; 0 where both are exact."""
        return _gain(self.ours, self.bicubic)

    def to_json(self) -> dict[str, Any]:
        """Plain values; a PSNR that is infinite is None, since JSON has no such number."""
        return _json({**asdict(self), "gain_db": self.gain_db})  # type: ignore[no-any-return]


def mean_of(scores: Sequence[Scores]) -> Scores:
    """The mean of clips' scores, each clip counting alike."""
    return Scores(
        fmean(s.psnr_db for s in scores),
        fmean(s.ssim for s in scores),
        fmean(s.ms for s in scores),
    )


def evaluation_table(result: Evaluation) -> Table:
    """One line a clip and one for their mean."""
    title = f"x{result.scale} on {result.device}: luma PSNR and SSIM"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("clip", no_wrap=True)
    for column in ("frames", "bicubic dB", "SSIM", f"{result.model} dB", "SSIM", "gain"):
        table.add_column(column, justify="right")
    table.add_column("ms", justify="right")
    for clip in result.clips:
        table.add_row(clip.name, str(clip.frames), *_cells(clip.ours, clip.bicubic))
    frames = str(sum(clip.frames for clip in result.clips))
    table.add_row("mean", frames, *_cells(result.ours, result.bicubic))
    return table


def _gain(ours: Scores, bicubic: Scores) -> float:
    return 0.0 if ours.psnr_db == bicubic.psnr_db else ours.psnr_db - bicubic.psnr_db


def _cells(ours: Scores, bicubic: Scores) -> Iterator[str]:
    yield f"{bicubic.psnr_db:.2f}"
    yield f"{bicubic.ssim:.4f}"
    yield f"{ours.psnr_db:.2f}"
    yield f"{ours.ssim:.4f}"
    yield f"{_gain(ours, bicubic):+.2f}"
    yield f"{ours.ms:.2f}"


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_json(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
