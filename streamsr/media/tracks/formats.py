"""The containers that a file can be: how each is written, and what it holds beside the video."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CONTAINERS", "FORMATS", "FileFormat"]

ISO = {
    "movflags": "hybrid_fragmented+frag_keyframe+empty_moov+default_base_moof"
    "+negative_cts_offsets",  # the first frame is at 0 whatever its B-frames wait for
    "use_editlist": "1",  # audio begins with its priming, before 0, once the file is closed
    "frag_duration": "250000",  # µs: what a kill may cost, and before what a file plays
    "flush_packets": "1",
    "max_interleave_delta": "1",  # µs that packets wait for others: fragments need no order;
    # and where a text ends one, FFmpeg times other tracks by what waits
}
MATROSKA = {
    "fflags": "bitexact",  # no random numbers: the same tracks are the same file
    "flush_packets": "1",
    "cluster_time_limit": "1000",
    "max_interleave_delta": "500000",  # µs that a track waits for one with nothing to say
}
PCM = {"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"}


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One container: what of audio and subtitles players take in it as it is, by codec.

    Other audio is encoded, other text converted; what has no place is said to be left out.
    """

    name: str  # FFmpeg's
    options: Mapping[str, str]  # so that it plays after a kill
    audio: frozenset[str]
    subtitles: frozenset[str]
    text: str | None  # what other text becomes; None: it cannot be kept
    video: tuple[str, ...] = ("h264", "hevc")
    encoded: str = "aac"  # FFmpeg's encoder of other audio
    is_iso: bool = False  # a file of ISO/IEC 14496-12, or QuickTime's, which it came from
    has_chapters: bool = True
    has_attachments: bool = True  # covers at least


FORMATS = {
    ".mp4": FileFormat(
        "mp4",
        ISO,
        frozenset({"aac", "mp3", "alac", "opus", "flac"}),
        frozenset({"mov_text", "dvd_subtitle"}),
        "mov_text",
        is_iso=True,
    ),
    ".mkv": FileFormat(
        "matroska",
        MATROSKA,
        frozenset({"aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "alac", "flac", "opus"})
        | {"vorbis"}
        | PCM,
        frozenset({"subrip", "ass", "webvtt", "dvd_subtitle", "dvb_subtitle"})
        | {"hdmv_pgs_subtitle"},
        "subrip",
    ),
    ".mov": FileFormat(
        "mov",
        ISO,
        frozenset({"aac", "mp3", "alac", "ac3"} | PCM),
        frozenset({"mov_text"}),
        "mov_text",
        is_iso=True,
        has_attachments=False,
    ),
    ".webm": FileFormat(
        "webm",
        MATROSKA,
        frozenset({"opus", "vorbis"}),
        frozenset({"webvtt"}),
        "webvtt",
        video=("vp9",),
        encoded="libopus",
        has_attachments=False,
    ),
    ".ts": FileFormat(
        "mpegts",
        {"flush_packets": "1", "max_interleave_delta": "500000"},
        frozenset({"aac", "mp2", "mp3", "ac3", "eac3"}),
        frozenset({"dvb_subtitle"}),
        None,
        has_chapters=False,
        has_attachments=False,
    ),
}
"""By the ending of the file's name."""
CONTAINERS = {suffix: file_format.options for suffix, file_format in FORMATS.items()}
