"""An encoded packet: what leaves a worker process, and all that viewers and publishers see."""

from dataclasses import dataclass, field
from fractions import Fraction

__all__ = ["AUDIO", "INPUT", "OUTPUT", "Packet"]

OUTPUT = "output"  # the upscaled rendition
INPUT = "input"  # the picture as it came in
AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Packet:
    """One access unit of one track.

    Video is H.264 in Annex B without B-frames, SPS and PPS before each keyframe; audio is Opus.
    Packets of one instant on different tracks have the same ``pts``.
    """

    track: str  # OUTPUT, INPUT or AUDIO
    data: bytes = field(repr=False)
    pts: int  # in units of time_base; strictly rising within a track
    time_base: Fraction  # seconds
    keyframe: bool  # decoding can start here
