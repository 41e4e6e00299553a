"""A packet of silence, for where a source's audio is missing: AAC-LC in stereo at 48 kHz."""

from fractions import Fraction
from functools import cache

import av

__all__ = ["AAC_SAMPLES", "silent_packet"]

AAC_SAMPLES = 1024  # of one packet (ISO/IEC 14496-3)


@cache
def silent_packet() -> bytes:
    """Returns a packet that is silent wherever it stands: one from amid nothing but silence."""
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "fltp"
    encoder.time_base = Fraction(1, 48_000)
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
