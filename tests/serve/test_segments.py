"""What HLS has of a stream, and what its playlist says of it."""

import math
import random
import re
from collections.abc import Callable
from fractions import Fraction

import pytest

from streamsr.serve.live.fmp4 import InitSegment
from streamsr.serve.live.fragmenter import MediaFragment
from streamsr.serve.live.playlist import media_playlist
from streamsr.serve.live.segments import ENOUGH, KEPT, SegmentWindow

FIRST = 1000  # number of a segment
EPOCH_S = 1_700_000_000.0
INIT = InitSegment(b"init", "avc1")


def window_of(
    seconds: float,
    *,
    rate: int = 25,
    gop_s: float = 1,
    segment_s: float = 2,
    listed: int = 6,
    window: SegmentWindow | None = None,
    init: InitSegment = INIT,
    begins_s: int = 0,
    data: bytes = b"frame",
    asked: Callable[[], None] = lambda: None,
) -> SegmentWindow:
    window = window or SegmentWindow(FIRST, segment_s, listed, asked)
    for number in range(round(seconds * rate)):
        at = Fraction(number, rate) + begins_s
        keyframe = number % round(gop_s * rate) == 0
        window.add(MediaFragment(init, data, at, Fraction(1, rate), keyframe))
    return window


def tags(text: str, name: str) -> list[str]:
    return re.findall(rf"^#{name}:(.*)$", text, re.MULTILINE)


def attribute(line: str, name: str) -> str:
    match = re.search(rf'{name}="?([^",]*)', line)
    assert match is not None
    return match[1]


def test_segments_last_as_asked_once_there_are_enough_to_begin_with() -> None:
    text = media_playlist(window_of(20.5), EPOCH_S)
    assert tags(text, "EXTINF") == ["2.00000,"] * 6
    assert tags(text, "EXT-X-TARGETDURATION") == ["2"]
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in text
    first = window_of(3.1).listed
    assert [segment.lasts_s for segment in first] == [1, 1, 1]
    assert window_of(3.1).playable
    assert not window_of(2.9).playable


@pytest.mark.parametrize("rate", [5, 10, 12, 25, 30, 50, 60])
def test_parts_fill_their_segments(rate: int) -> None:
    window = window_of(12.5, rate=rate)
    text = media_playlist(window, EPOCH_S)
    target = float(attribute(tags(text, "EXT-X-PART-INF")[0], "PART-TARGET"))
    control = tags(text, "EXT-X-SERVER-CONTROL")[0]
    assert float(attribute(control, "PART-HOLD-BACK")) >= 3 * target - 1e-4
    for segment in window.listed:
        assert sum(part.lasts_s for part in segment.parts) == segment.lasts_s
        assert segment.parts[0].independent
        assert not any(part.independent for part in segment.parts[1:3])
        lasting = [float(part.lasts_s) for part in segment.parts]
        assert max(lasting) <= target + 1e-5
        assert all(s >= 0.85 * target for s in lasting[:-1]), "RFC 8216bis, 4.4.4.9"


@pytest.mark.parametrize("rate", [5, 10, 25, 30])
@pytest.mark.parametrize("gop_s", [0.5, 1.7, 60])
def test_durations_stay_as_they_were_told(rate: int, gop_s: float) -> None:
    """Also where frames come unevenly, and keyframes late."""
    window, choose = window_of(3.5, rate=rate), random.Random(7)
    at, keyframe_s, told = window.ends_s, Fraction(0), set[tuple[str, ...]]()
    while at < 60:
        keyframe = at - keyframe_s >= gop_s
        keyframe_s = at if keyframe else keyframe_s
        lasts_s = Fraction(choose.randint(1, 1000 // rate), 1000)
        window.add(MediaFragment(INIT, b"frame", at, lasts_s, keyframe))
        at += lasts_s
        text = media_playlist(window, EPOCH_S)
        target, part = tags(text, "EXT-X-TARGETDURATION")[0], tags(text, "EXT-X-PART-INF")[0]
        told.add((target, part, tags(text, "EXT-X-SERVER-CONTROL")[0]))
        lengths = [float(line.rstrip(",")) for line in tags(text, "EXTINF")]
        assert max(math.floor(length + 0.5) for length in lengths) <= int(target)
        parts = [float(attribute(line, "DURATION")) for line in tags(text, "EXT-X-PART")]
        assert max(parts) <= float(attribute(part, "PART-TARGET"))
    assert len(told) == 1


def test_the_playlist_names_what_comes_next() -> None:
    window = window_of(9.5)
    text = media_playlist(window, EPOCH_S)
    growing = window.open
    assert growing is not None
    hint = tags(text, "EXT-X-PRELOAD-HINT")[0]
    assert attribute(hint, "URI") == f"seg_{growing.number}.{len(growing.parts)}.m4s"
    parts = [attribute(line, "URI") for line in tags(text, "EXT-X-PART")]
    assert parts[-1] == f"seg_{growing.number}.{len(growing.parts) - 1}.m4s"
    first = window.listed[0]
    assert f"seg_{first.number}.0.m4s" not in parts, "parts of the newest alone"
    assert tags(text, "EXT-X-MEDIA-SEQUENCE") == [str(first.number)]
    assert tags(text, "EXT-X-MAP") == [f'URI="init_{FIRST}.mp4"']
    assert window.init(FIRST) is INIT
    assert window.find(first.number) is first
    times = tags(text, "EXT-X-PROGRAM-DATE-TIME")
    assert times[0].startswith("2023-11-14T22:13:2")


def test_old_segments_go_a_little_later_than_from_the_playlist() -> None:
    window = window_of(60, listed=4)
    assert len(window.listed) == 4
    first = window.listed[0].number
    assert window.find(first - KEPT) is not None
    assert window.find(first - KEPT - 1) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsr.serve.live.segments.MOST_BYTES", 1_000_000)
    window = window_of(60, listed=1000, data=bytes(4000))
    assert ENOUGH < len(window.listed) <= 1_000_000 // (50 * 4000) + 1


def test_another_kind_of_stream_is_a_discontinuity_that_is_counted() -> None:
    window = window_of(4.5, listed=3)
    other = InitSegment(b"other", "avc1")
    window_of(2.5, window=window, init=other, begins_s=5)
    text = media_playlist(window, EPOCH_S)
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert len(tags(text, "EXT-X-MAP")) == 2
    assert tags(text, "EXT-X-DISCONTINUITY-SEQUENCE") == ["0"]
    window_of(20, window=window, init=other, begins_s=8)
    text = media_playlist(window, EPOCH_S)
    assert text.count("#EXT-X-DISCONTINUITY\n") == 0
    assert tags(text, "EXT-X-DISCONTINUITY-SEQUENCE") == ["1"]
    name = attribute(tags(text, "EXT-X-MAP")[0], "URI")
    assert window.init(int(name.removeprefix("init_").removesuffix(".mp4"))) is other


def test_a_keyframe_is_asked_for_where_a_segment_should_end() -> None:
    asked: list[int] = []
    window_of(8.5, gop_s=10, asked=lambda: asked.append(1))
    assert asked


def test_an_update_leaves_out_what_a_player_knows() -> None:
    window = window_of(62, listed=20)
    whole, update = (media_playlist(window, EPOCH_S, skip=skip) for skip in (False, True))
    skipped = int(attribute(tags(update, "EXT-X-SKIP")[0], "SKIPPED-SEGMENTS"))
    assert skipped > 10
    assert len(tags(update, "EXTINF")) + skipped == len(tags(whole, "EXTINF")) == 20
    assert tags(update, "EXT-X-MEDIA-SEQUENCE") == tags(whole, "EXT-X-MEDIA-SEQUENCE")
    short = window_of(9, listed=3)
    assert "SKIP:" not in media_playlist(short, EPOCH_S, skip=True)


def test_the_end_is_said() -> None:
    window = window_of(4.5)
    window.end()
    text = media_playlist(window, EPOCH_S)
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert "PRELOAD-HINT" not in text
