"""What a trial of a hardware encoder is asked: one encoder, the settings, and a stream's frames."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from msgspec import json

from streamsr.core.frame import ColourTags
from streamsr.core.settings import EncoderSettings
from streamsr.media.hardware.encoders import HardwareEncoder

__all__ = ["CodedStream", "TrialRequest"]


@dataclass(frozen=True, slots=True)
class CodedStream:
    """Frames that are to be coded: even sizes in pixels, the tags that their coding has, fractions
    as text ("1/90000")."""

    width: int
    height: int
    depth: int  # bits of a sample
    tags: ColourTags
    time_base: str  # seconds
    rate: str  # frames a second
    aspect: str  # of a pixel
    hdr: bool = False  # it says more of its light than its tags do
    buffer_s: tuple[float, float] = (1.0, 0.9)  # of ``max_kbit_s``: its size, how full it begins

    @classmethod
    def of(
        cls,
        size: tuple[int, int],
        tags: ColourTags,
        *,
        depth: int = 8,
        time_base: Fraction = Fraction(1, 90_000),
        rate: Fraction,
        aspect: Fraction = Fraction(1),
        hdr: bool = False,
        buffer_s: tuple[float, float] = (1.0, 0.9),
    ) -> Self:
        fractions = str(time_base), str(rate), str(aspect)
        return cls(*size, depth, tags, *fractions, hdr, buffer_s)


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """One trial."""

    encoder: HardwareEncoder
    settings: str  # EncoderSettings as JSON, filled
    stream: CodedStream

    def encoded(self) -> str:
        """Returns it as the argument of the trial's process."""
        return json.encode(self).decode()

    @classmethod
    def decoded(cls, argument: str) -> Self:
        return json.decode(argument, type=cls)

    def filled_settings(self) -> EncoderSettings:
        return EncoderSettings.model_validate_json(self.settings)
