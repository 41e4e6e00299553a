"""What ``train CONFIG.toml`` may say."""

from pathlib import Path

from pydantic import Field

from streamsr.config import Settings
from streamsr.zoo.card import Card

__all__ = ["DataSettings", "TrainSettings"]


class DataSettings(Settings):
    """Where the ground truth lies, and what is cut out of it."""

    train: Path  # a folder of HR clips
    valid: Path  # a folder of HR clips that training never sees
    cache: Path = Path("runs/cache")  # decoded clips are kept here: luma or RGB planes
    patch: int = Field(default=48, ge=16, le=256)  # LR pixels a side
    valid_frames: int = Field(default=8, ge=1)  # frames a clip that a validation looks at


class TrainSettings(Settings):
    """One training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")  # of the run's folder and of the model
    runs: Path = Path("runs")
    model: Card  # what is trained; the finished card gets its weights and figures
    data: DataSettings
    steps: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0, le=0.1)
    final_learning_rate: float = Field(default=1e-6, gt=0, le=0.1)  # the cosine ends here
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: str = Field(default="bfloat16", pattern="^(float32|bfloat16)$")
    seed: int = 0
    valid_every: int = Field(default=1000, ge=1)  # steps
    save_every: int = Field(default=500, ge=1)  # steps
