"""Audio without holes: where silence is put, and a packet of it: AAC-LC in stereo at 48 kHz."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import av

__all__ = ["AAC_S", "AAC_SAMPLES", "AUDIO_BASE", "SteadyAudio", "silent_packet"]

AAC_SAMPLES = 1024  # of one packet (ISO/IEC 14496-3)
AUDIO_BASE = Fraction(1, 48_000)
AAC_S = AAC_SAMPLES * AUDIO_BASE  # that one packet lasts


class SteadyAudio:
    """Says which packets of a track are written, and what silence where they are missing. Pure."""

    def __init__(self, begins_s: Fraction = Fraction(0)) -> None:
        self.ends_s = begins_s  # of what was written
        self.late = 0  # packets that came so late that there was silence already

    def takes(self, begins_s: Fraction) -> bool:
        """Returns whether a packet of that time is to be written, and counts it where it is not."""
        late = begins_s <= self.ends_s - AAC_S
        self.late += late
        return not late

    def silence(self, until_s: Fraction) -> Iterator[Fraction]:
        """Yields when each packet of silence begins that is missing, as far as whole ones go."""
        while self.ends_s + AAC_S <= until_s:
            yield self.ends_s
            self.ends_s += AAC_S

    def written(self, begins_s: Fraction) -> None:
        """Notes a packet that was written."""
        self.ends_s = begins_s + AAC_S


@cache
def silent_packet() -> bytes:
    """Returns a packet that is silent wherever it stands: one from amid nothing but silence."""
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "fltp"
    encoder.time_base = AUDIO_BASE
    encoder.flags |= av.codec.context.Flags.global_header
    packets = []
    for number in range(4):
        frame = av.AudioFrame("fltp", "stereo", AAC_SAMPLES)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 48_000, number * AAC_SAMPLES
        frame.time_base = encoder.time_base
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets[-1]
