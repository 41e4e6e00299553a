"""The text of a media playlist with low latency (RFC 8216bis). Pure.

Players that know nothing of parts find whole segments in it, as in any other.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction

from streamsr.serve.live.segments import PART_S, Part, Segment, SegmentWindow

__all__ = ["PLAYLIST", "media_playlist"]

PLAYLIST = "index.m3u8"
HOLD_BACK_PARTS = 3  # parts' time that players stay behind, which is the least (4.4.3.8)
HOLD_BACK_SEGMENTS = 3
SKIPPED_AFTER = 6  # target durations: what is older may be left out of an update (6.2.5.1)
WITH_PARTS = 3  # target durations before the end, in which segments are listed with their parts


def segment_name(number: int) -> str:
    return f"seg_{number}.m4s"


def init_name(number: int) -> str:
    return f"init_{number}.mp4"


def part_name(number: int, part: int) -> str:
    return f"seg_{number}.{part}.m4s"


def media_playlist(window: SegmentWindow, epoch_s: float, *, skip: bool = False) -> str:
    """Returns the playlist as it is now.

    ``epoch_s`` is the Unix time of second 0 of the stream. With ``skip`` segments that a player
    has known for long are left out.
    """
    listed, growing = window.listed, window.open
    target_s, part_s = window.target_s, window.part_target_s or PART_S
    skipped = _skipped(listed, target_s) if skip else 0
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{9 if skipped else 6}",  # old players may refuse what they do not know
        f"#EXT-X-TARGETDURATION:{target_s}",
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={_s(part_s * HOLD_BACK_PARTS)},"
        f"HOLD-BACK={target_s * HOLD_BACK_SEGMENTS},CAN-SKIP-UNTIL={target_s * SKIPPED_AFTER}",
        f"#EXT-X-PART-INF:PART-TARGET={_s(part_s)}",
        f"#EXT-X-MEDIA-SEQUENCE:{_first_number(window)}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{window.discontinuities}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    ends_s = growing.begins_s + growing.lasts_s if growing else _end_s(listed)
    known = listed[skipped - 1] if skipped else None
    for segment in [*listed[skipped:], *([growing] if growing else [])]:
        recent = ends_s - segment.begins_s <= WITH_PARTS * target_s
        lines += _segment(segment, known, epoch_s, with_parts=recent)
        known = segment
    lines += ["#EXT-X-ENDLIST"] if window.ended else [_hint(window)]
    return "\n".join([*lines, ""])


def _segment(
    segment: Segment, before: Segment | None, epoch_s: float, *, with_parts: bool
) -> Iterator[str]:
    if segment.discontinuous:
        yield "#EXT-X-DISCONTINUITY"
    if before is None or before.init is not segment.init:
        yield f'#EXT-X-MAP:URI="{init_name(segment.init_number)}"'
    begins = datetime.fromtimestamp(epoch_s + float(segment.begins_s), UTC)
    yield f"#EXT-X-PROGRAM-DATE-TIME:{begins.isoformat(timespec='milliseconds')}"
    if with_parts:
        yield from (_part(segment.number, n, part) for n, part in enumerate(segment.parts))
    if segment.complete:
        yield f"#EXTINF:{_s(segment.lasts_s)},"
        yield segment_name(segment.number)


def _part(number: int, index: int, part: Part) -> str:
    independent = ",INDEPENDENT=YES" if part.independent else ""
    uri = part_name(number, index)
    return f'#EXT-X-PART:DURATION={_s(part.lasts_s)},URI="{uri}"{independent}'


def _hint(window: SegmentWindow) -> str:
    """Names the part that comes next, which a player may ask for before it is there."""
    growing = window.open
    number = growing.number if growing else window.next_number
    uri = part_name(number, len(growing.parts) if growing else 0)
    return f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{uri}"'


def _skipped(listed: list[Segment], target_s: int) -> int:
    limit_s = _end_s(listed) - SKIPPED_AFTER * target_s
    return sum(segment.begins_s + segment.lasts_s < limit_s for segment in listed)


def _end_s(listed: list[Segment]) -> Fraction:
    return listed[-1].begins_s + listed[-1].lasts_s if listed else Fraction(0)


def _first_number(window: SegmentWindow) -> int:
    first = next(iter(window.listed), window.open)
    return first.number if first is not None else window.next_number


def _s(seconds: Fraction) -> str:
    return f"{float(seconds):.5f}"
