"""Audio without holes: where silence is put, and a packet of it (AAC-LC)."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import av

__all__ = ["AAC_S", "AAC_SAMPLES", "AUDIO_BASE", "SteadyAudio", "silent_packet"]

AAC_SAMPLES = 1024  # of one packet (ISO/IEC 14496-3)
RATE = 48_000  # Hz, of what is encoded
AUDIO_BASE = Fraction(1, RATE)
AAC_S = AAC_SAMPLES * AUDIO_BASE  # that one packet lasts


class SteadyAudio:
    """Says which packets of a track are written, and what silence where they are missing. Pure."""

    def __init__(self, begins_s: Fraction = Fraction(0), lasts_s: Fraction = AAC_S) -> None:
        """``lasts_s``: that one packet lasts."""
        self.ends_s = begins_s  # of what was written
        self._lasts_s = lasts_s
        self.late = 0  # packets that came so late that there was silence already

    def takes(self, begins_s: Fraction) -> bool:
        """Returns whether a packet of that time is to be written, and counts it where it is not."""
        late = begins_s <= self.ends_s - self._lasts_s
        self.late += late
        return not late

    def silence(self, until_s: Fraction) -> Iterator[Fraction]:
        """Yields when each packet of silence begins that is missing, as far as whole ones go."""
        while self.ends_s + self._lasts_s <= until_s:
            yield self.ends_s
            self.ends_s += self._lasts_s

    def written(self, begins_s: Fraction) -> None:
        """Notes a packet that was written."""
        self.ends_s = begins_s + self._lasts_s


@cache
def silent_packet(rate: int = RATE, layout: str = "stereo") -> tuple[bytes, bytes]:
    """Returns a packet of AAC-LC that is silent wherever it stands, one from amid nothing but
    silence, and how it is described (AudioSpecificConfig)."""
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, "fltp"
    encoder.time_base = Fraction(1, rate)
    encoder.flags |= av.codec.context.Flags.global_header
    packets = []
    for number in range(4):
        frame = av.AudioFrame("fltp", layout, AAC_SAMPLES)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = rate, number * AAC_SAMPLES
        frame.time_base = encoder.time_base
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets[-1], encoder.extradata or b""
