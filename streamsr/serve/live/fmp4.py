"""Fragmented MP4 in memory (ISO/IEC 14496-12): an initial segment, and fragments of few frames.

FFmpeg writes the first, which describes the codecs; a fragment is a list of sizes and times before
the samples, written here, so that each leaves as soon as its last frame's duration is known.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from streamsr.bitstream.h264 import NAL_AUD, NAL_PPS, NAL_SPS, nal_units
from streamsr.core.packet import Packet
from streamsr.media.container import Container

__all__ = ["AUDIO_HZ", "VIDEO_HZ", "InitSegment", "Sample", "avcc", "make_fragment"]

VIDEO_HZ = 90_000  # ticks a second of the video's track
AUDIO_HZ = 48_000  # likewise of the audio's
VIDEO_TRACK, AUDIO_TRACK = 1, 2
OPTIONS = {
    "movflags": "empty_moov+default_base_moof+skip_trailer",
    "video_track_timescale": str(VIDEO_HZ),
}
AAC_LC = "mp4a.40.2"  # RFC 6381
SYNC, NOT_SYNC = 0x0200_0000, 0x0101_0000  # of a sample's flags (8.8.3.1)
BASE_IS_MOOF = 0x02_0000  # of tfhd's flags (8.8.7)
WITH_ALL = 0x0701  # of trun's flags (8.8.8): data offset; duration, size and flags of each sample
HEAD = struct.Struct(">I4s")


@dataclass(frozen=True, slots=True)
class InitSegment:
    """What a player has to have before the first fragment."""

    data: bytes = field(repr=False)
    codecs: str  # as RFC 6381 has it, of the tracks in their order

    @classmethod
    def of(cls, keyframe: Packet, rate: Fraction | None, *, audio: bool) -> "InitSegment":
        """Describes H.264 as ``keyframe`` has it, and AAC-LC in stereo beside it.

        Raises av.FFmpegError where the keyframe has no parameter sets.
        """
        file = io.BytesIO()
        container = Container(file, OPTIONS, "mp4")
        try:
            container.add_video(keyframe, rate)
            if audio:
                container.add_audio()
            container.begin()
            data = file.getvalue()
        finally:
            container.close()
        sps = next(s for s, _ in nal_units(keyframe.data) if keyframe.data[s] & 31 == NAL_SPS)
        video = f"avc1.{keyframe.data[sps + 1 : sps + 4].hex()}"
        return cls(data, f"{video},{AAC_LC}" if audio else video)


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame, or one packet of audio, as a fragment holds it."""

    data: bytes = field(repr=False)
    begins: int  # in ticks of its track
    lasts: int  # likewise
    keyframe: bool = True


def avcc(access_unit: bytes) -> bytes:
    """Returns an access unit in Annex B as MP4 has it: a length before each NAL unit.

    Parameter sets, which are in the initial segment, and delimiters are left out (ISO/IEC
    14496-15, 5.3).
    """
    found = []
    for start, end in nal_units(access_unit):
        if access_unit[start] & 31 not in (NAL_SPS, NAL_PPS, NAL_AUD):
            nal = access_unit[start:end].rstrip(b"\0")
            found += [len(nal).to_bytes(4, "big"), nal]
    return b"".join(found)


def make_fragment(number: int, video: Sequence[Sample], audio: Sequence[Sample]) -> bytes:
    """Returns a fragment of samples that follow one another in each track; one may have none."""
    tracks = [(t, s) for t, s in ((VIDEO_TRACK, video), (AUDIO_TRACK, audio)) if s]
    offset = len(_moof(number, tracks, 0)) + HEAD.size
    samples = [sample.data for _, found in tracks for sample in found]
    return _moof(number, tracks, offset) + _box(b"mdat", *samples)


def _moof(number: int, tracks: Sequence[tuple[int, Sequence[Sample]]], offset: int) -> bytes:
    """``offset`` is where the first track's samples begin, from the beginning of the box."""
    parts = [_box(b"mfhd", struct.pack(">II", 0, number & 0xFFFF_FFFF))]
    for track, samples in tracks:
        parts.append(
            _box(
                b"traf",
                _box(b"tfhd", struct.pack(">II", BASE_IS_MOOF, track)),
                _box(b"tfdt", struct.pack(">IQ", 1 << 24, samples[0].begins)),
                _box(
                    b"trun",
                    struct.pack(">IIi", WITH_ALL, len(samples), offset),
                    *(
                        struct.pack(">III", s.lasts, len(s.data), SYNC if s.keyframe else NOT_SYNC)
                        for s in samples
                    ),
                ),
            )
        )
        offset += sum(len(sample.data) for sample in samples)
    return _box(b"moof", *parts)


def _box(kind: bytes, *parts: bytes) -> bytes:
    return HEAD.pack(HEAD.size + sum(map(len, parts)), kind) + b"".join(parts)
