"""An encoded packet: what leaves a worker process, and all that viewers and publishers see."""

from dataclasses import dataclass, field
from fractions import Fraction

__all__ = ["AAC", "AUDIO", "AUDIO_TRACKS", "INPUT", "OUTPUT", "Packet"]

OUTPUT = "output"  # the upscaled rendition
INPUT = "input"  # the picture as it came in
AUDIO = "audio"  # the audio as Opus, for browsers
AAC = "aac"  # the audio as AAC-LC, for servers, players and recordings
AUDIO_TRACKS = frozenset({AUDIO, AAC})


@dataclass(frozen=True, slots=True)
class Packet:
    """One access unit of one track.

    Video is H.264 in Annex B without B-frames, SPS and PPS before each keyframe; audio is
    stereo at 48 kHz, AAC without ADTS headers.
    Packets of one instant on different tracks have the same ``pts``.
    """

    track: str  # OUTPUT, INPUT, AUDIO or AAC
    data: bytes = field(repr=False)
    pts: int  # in units of time_base; strictly rising within a track
    time_base: Fraction  # seconds
    keyframe: bool  # decoding can start here
