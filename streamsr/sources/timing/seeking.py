"""Where the reading of a file begins that goes on in the middle: at a keyframe before.

What was read before it is told by nothing but the packets' own stamps, so only formats are sought
that state them whole, and have an index.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

import av

__all__ = ["can_seek", "seek_before"]

FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # FFmpeg's names
BEFORE_S = 1  # frames after a keyframe may look at those before it, which are not there


def can_seek(container: av.container.InputContainer) -> bool:
    """Whether the container is of a format that is sought."""
    return container.format.name in FORMATS


def seek_before(
    container: av.container.InputContainer, video: av.VideoStream, start: Fraction, time_s: Fraction
) -> Fraction:
    """Goes to a keyframe well before a second of the stream, whose second 0 has the stamp
    ``start``. Returns up to which second it is sought: 0 where the file is read from its start."""
    sought_s = time_s - BEFORE_S
    if sought_s <= 0 or not can_seek(container) or not video.time_base:
        return Fraction(0)
    try:
        container.seek(floor((start + sought_s) / video.time_base), stream=video)
    except av.FFmpegError:  # no index, or none that is whole
        return Fraction(0)
    return sought_s
