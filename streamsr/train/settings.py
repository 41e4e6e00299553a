"""What ``train CONFIG.toml`` may say."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from streamsr.core.config import Settings
from streamsr.zoo.card import Card, ModelName

__all__ = [
    "STILL_FRAMES",
    "DataSettings",
    "DegradeSettings",
    "Scaler",
    "TrainSettings",
]

STILL_FRAMES = 24  # of a clip that is made of a photograph

Scaler = Literal["bicubic", "bilinear", "area", "lanczos"]
Codec = Literal["h264", "h265"]
Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= span[0] <= span[1]:
        raise ValueError(f"allowed are two numbers from 0, the smaller first, got {list(span)}")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_rising)]


class DegradeSettings(Settings):
    """``[data.degrade]``: what each value is drawn from, again for every coding of a clip."""

    codings: int = Field(default=8, ge=1, le=64)  # of each clip, made once and kept in the cache
    still_codings: int = Field(default=2, ge=1, le=64)  # of each still
    scalers: tuple[Scaler, ...] = Field(default=("bicubic", "bilinear", "area"), min_length=1)
    blur_px: tuple[float, ...] = Field(default=(0.0,), min_length=1)  # sigmas, before shrinking
    # sigma of the sensor's noise in levels, after shrinking; its root is drawn evenly, since most
    # cameras see daylight
    noise: Span = (0.0, 0.0)
    codecs: tuple[Codec, ...] = Field(default=("h264", "h265"), min_length=1)
    # of 320x180 at 25 frames a second, drawn evenly in its logarithm; other sizes get their share
    # of the pixels
    kbit_s: Span = (64.0, 1024.0)
    qp: tuple[int, int] = (18, 45)  # of codings of a constant quantiser, in place of a rate
    qp_share: float = Field(default=0.0, ge=0, le=1)  # of the codings
    every: tuple[int, ...] = Field(default=(1,), min_length=1)  # so many frames one is kept of
    gop: tuple[int, int] = (25, 100)  # frames
    presets: tuple[Preset, ...] = Field(
        default=("ultrafast", "superfast", "veryfast", "medium"), min_length=1
    )
    buffer_s: Span = (0.5, 2.0)  # how evenly the rate is kept
    full_range: float = Field(default=0.3, ge=0, le=1)  # share of the codings

    @model_validator(mode="after")
    def _codable(self) -> Self:
        if self.kbit_s[0] < 1 or self.buffer_s[0] <= 0:
            raise ValueError("kbit_s and buffer_s: allowed are rates from 1 and times above 0")
        if not 0 <= self.qp[0] <= self.qp[1] <= 51:
            got = list(self.qp)
            raise ValueError(f"qp: got {got}, allowed are two numbers from 0 to 51, rising")
        if not all(1 <= number <= 25 for number in self.every):
            raise ValueError(f"every: got {list(self.every)}, allowed are numbers from 1 to 25")
        if not 1 <= self.gop[0] <= self.gop[1]:
            raise ValueError(f"gop: got {list(self.gop)}, allowed are two numbers from 1, rising")
        return self


class DataSettings(Settings):
    """Where the ground truth lies, and what is cut out of it."""

    train: Path  # a folder of HR clips
    valid: Path | None = None  # a folder of HR clips that training never sees
    low: Path | None = None  # the same clips as a camera's sub-stream shows them: nothing is coded
    valid_low: Path | None = None  # those of valid
    footage: str | None = None  # what tells these clips from others: of others a run begins again
    held_out: float = Field(default=0.0, ge=0, le=0.5)  # without valid: so much of each clip's end
    clip_frames: int | None = Field(default=None, ge=8)  # at most so many of each clip
    cache: Path = Path("runs/cache")  # decoded clips are kept here: luma or RGB planes
    patch: int = Field(default=48, ge=16, le=256)  # LR pixels a side
    valid_frames: int = Field(default=8, ge=1)  # frames a clip that a validation looks at
    stills: Path | None = None  # a folder of photographs, for still cameras and slow motion
    still_share: float = Field(default=0.3, gt=0, lt=1)  # of the crops, where there are stills
    hanging: float = Field(default=0.55, ge=0, le=1)  # of the stills: the camera does not move
    flicker: float = Field(default=0.0, ge=0, le=1)  # of the crops: their light comes and goes
    degrade: DegradeSettings | None = None  # as a camera does; None: bicubic, as the papers do
    shrink: Span = (1.0, 1.0)  # HR crops are cut larger and shrunk by this: without degrade alone

    @model_validator(mode="after")
    def _validated(self) -> Self:
        if (self.valid is None) == (self.held_out == 0):
            raise ValueError("valid, held_out: allowed is one of the two, a folder or a share")
        if self.low is not None and (self.degrade is not None or self.stills is not None):
            raise ValueError("low: got degrade or stills too, allowed is low, or those two")
        if (self.valid_low is None) == (self.low is not None and self.valid is not None):
            raise ValueError("valid_low: allowed is a folder where there are low and valid")
        return self


class TrainSettings(Settings):
    """One training run."""

    name: ModelName  # of the run's folder and of the model
    runs: Path = Path("runs")
    model: Card  # what is trained; the finished card gets its weights and figures
    data: DataSettings
    init: str | None = None  # a model, or its folder, whose weights it starts from
    # l2 keeps a network cautious where a camera has lost the detail; psnr does, too, and minds
    # the frames that have lost little as much
    loss: Literal["charbonnier", "l2", "psnr"] = "charbonnier"
    temporal: float = Field(default=0.0, ge=0, le=10)  # weight of the change from frame to frame
    sequence: int = Field(default=1, ge=1, le=256)  # frames that a crop is made of, one loss each
    truncate: int = Field(default=16, ge=1, le=256)  # frames that a recurrent gradient goes back
    steps: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0, le=0.1)
    final_learning_rate: float = Field(default=1e-6, gt=0, le=0.1)  # the cosine ends here
    # gradients are scaled down to this norm where theirs is larger; None: as they are
    gradient_norm: float | None = Field(default=None, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    device: str = "cpu"  # auto, cpu or cuda:N; to the bit it goes on only on a CPU
    workers: int = Field(default=0, ge=0, le=64)  # threads that make batches ahead, for a GPU
    seed: int = 0
    valid_every: int = Field(default=1000, ge=1)  # steps
    save_every: int = Field(default=500, ge=1)  # steps

    @property
    def crop_frames(self) -> int:
        """How many frames a crop holds."""
        return self.model.facts.window - 1 + max(self.sequence, 1 + (self.temporal > 0))

    @model_validator(mode="after")
    def _suits_its_network(self) -> Self:
        facts = self.model.facts
        if self.data.patch % facts.multiple:
            allowed = f"multiples of {facts.multiple}, the model's facts.multiple"
            raise ValueError(f"data.patch: got {self.data.patch}, allowed are {allowed}")
        if facts.scale == 1 and self.data.degrade is None and self.data.low is None:
            raise ValueError(
                "model.facts.scale: got 1 without [data.degrade] or data.low, which leaves nothing "
                "to restore"
            )
        return self

    @model_validator(mode="after")
    def _stills_last(self) -> Self:
        if self.data.stills is not None and self.crop_frames > STILL_FRAMES:
            most = STILL_FRAMES - self.model.facts.window + 1
            raise ValueError(
                f"sequence: got {self.sequence}, allowed with stills is {most} at most: their "
                f"clips have {STILL_FRAMES} frames"
            )
        return self
