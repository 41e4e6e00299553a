"""What the encoder of a rendition may be told."""

from typing import Literal

from pydantic import Field

from streamsr.config import Settings

__all__ = ["EncoderSettings"]


class EncoderSettings(Settings):
    """H.264 by x264, made to leave at once: no B-frames, no lookahead, one slice a picture."""

    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = "ultrafast"
    crf: int = Field(default=18, ge=0, le=51)  # constant quality: lower is better and larger
    max_kbit_s: int = Field(default=16_000, ge=100, le=200_000)  # where the scene would need more
    gop_s: float = Field(default=1.0, ge=0.2, le=10)  # seconds between keyframes
