"""An encoded packet: what leaves a worker process, and all that viewers and outputs are sent."""

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

__all__ = ["AUDIO_TRACKS", "Packet", "Track"]


class Track(StrEnum):
    """The tracks of a stream."""

    OUTPUT = "output"  # the upscaled rendition
    INPUT = "input"  # the frames as they came in
    RECORD = "record"  # the upscaled rendition, coded for recordings
    OPUS = "audio"  # the audio as Opus, for browsers
    AAC = "aac"  # the audio as AAC-LC, for servers, players and recordings


AUDIO_TRACKS = frozenset({Track.OPUS, Track.AAC})


@dataclass(frozen=True, slots=True)
class Packet:
    """One access unit of one track.

    Video is H.264 in Annex B without B-frames, SPS and PPS before each keyframe; of a file that is
    made of a file it may be HEVC, its VPS too, and have B-frames. Audio is stereo at 48 kHz, AAC
    without ADTS headers. Packets of one instant on different tracks have the same ``pts``.
    """

    track: Track
    data: bytes = field(repr=False)
    pts: int  # in units of time_base; strictly rising within a track but for B-frames
    time_base: Fraction  # seconds
    keyframe: bool  # decoding can start here
    arrived: float = 0.0  # monotonic seconds: when its frame came in; 0: not known, as of audio
    dts: int | None = None  # in units of time_base, where it is not ``pts``: of B-frames
    codec: str = "h264"  # of video
    duration: int = 0  # of a frame, in units of time_base; 0: to the next one
    captured: float = 0.0  # Unix seconds by its camera's clock; 0: the camera does not say
    upscaled: float = 0.0  # monotonic seconds: when its frame came out of the engine; 0: not known
    encoded: float = 0.0  # likewise: when it was encoded
