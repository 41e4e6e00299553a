"""Where stamps go: joined and torn recordings, wraps, gaps, stamps that are missing or nonsense."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.sources.timing.frame_times import FrameTimes
from streamsr.sources.timing.stamps import StampChoice
from streamsr.sources.timing.timeline import Placed, Timeline, TimePolicy, unwrapped

WRAP = Fraction(2**33, 90_000)
FRAME, PIECE = Fraction(1, 25), Fraction(1024, 48_000)
HOUR = 3600


@dataclass(frozen=True)
class Stamped:
    """One packet: its track, its stamps and how long it lasts, in seconds."""

    track: str
    dts: Fraction | None
    pts: Fraction | None
    lasts: Fraction


def recording(
    seconds: Fraction | int = 6,
    start: Fraction | int = 0,
    *,
    rate: Fraction = 1 / FRAME,
    reordered: bool = True,
    audio: bool = True,
) -> list[Stamped]:
    """A recording as it is muxed: by decoding time, a B-frame between every two others."""
    frame, packets = 1 / rate, []
    for n in range(round(seconds * rate)):
        paired = reordered and n > 0 and (n % 2 == 0 or n + 1 < round(seconds * rate))
        shown = n if not paired else n + 1 if n % 2 else n - 1
        packets.append(Stamped("video", start + (n - 1) * frame, start + shown * frame, frame))
    for n in range(int(seconds / PIECE) if audio else 0):
        packets.append(Stamped("audio", start + n * PIECE, start + n * PIECE, PIECE))
    return sorted(packets, key=lambda p: (p.dts, p.track))


def by_track(packets: list[Stamped], first: str) -> list[Stamped]:
    """The same packets, those of one track before the other's."""
    return sorted(packets, key=lambda p: p.track != first)


def wrapped(packets: list[Stamped]) -> list[Stamped]:
    return [replace(p, dts=p.dts % WRAP, pts=p.pts % WRAP) for p in packets]  # type: ignore[operator]


def placed(
    packets: list[Stamped], timeline: Timeline
) -> Iterator[tuple[Stamped, Placed, Fraction | None]]:
    for p in packets:
        result = timeline.place(p.track, p.dts, p.pts, p.lasts)
        yield p, result, result.pts


def places(packets: list[Stamped], timeline: Timeline, track: str = "video") -> list[Fraction]:
    """Presentation times in the order they are shown."""
    found = [place for p, _, place in placed(packets, timeline) if p.track == track]
    return sorted(place for place in found if place is not None)


def timeline(packets: list[Stamped], gap_s: float = 10) -> Timeline:
    start = min(p.pts for p in packets[:20] if p.pts is not None)
    return Timeline(start, TimePolicy(Fraction(gap_s), WRAP))


@pytest.mark.parametrize("rate", [Fraction(30_000, 1001), Fraction(24_000, 1001), Fraction(25)])
def test_ten_hours_with_b_frames_are_exact(rate: Fraction) -> None:
    """Packets of every tenth minute: what lies between them moves nothing."""
    line, packets = Timeline(Fraction(7), TimePolicy(Fraction(700))), []
    for tenth in range(60):
        first = round(tenth * 600 * rate)
        part = recording(1, 7 + first / rate, rate=rate)
        packets += part
    found = {place for p, _, place in placed(packets, line) if p.track == "video"}
    assert found == {p.pts - 7 for p in packets if p.track == "video" and p.pts is not None}


@given(st.lists(st.integers(1, 9_000), min_size=2, max_size=60))
def test_a_variable_rate_is_exact(steps: list[int]) -> None:
    stamps = [Fraction(sum(steps[:n]), 1000) for n in range(len(steps))]
    packets = [Stamped("video", stamp, stamp, Fraction(0)) for stamp in stamps]
    assert places(packets, timeline(packets)) == stamps


JUMPS = st.one_of(
    st.sampled_from([3 * HOUR, 8 * HOUR, 13 * HOUR, -60, -61, -100, -3 * HOUR, -1, -2, 0, 13]),
    st.integers(-20 * HOUR, 0),
    st.integers(13, 20 * HOUR),
)


@settings(max_examples=40, deadline=None)
@given(
    jumps=st.lists(JUMPS, min_size=1, max_size=2),
    start=st.integers(0, 26 * HOUR),
    audio=st.booleans(),
    reordered=st.booleans(),
    late=st.integers(1, 4),
    first=st.sampled_from(["audio", "video"]),
)
def test_joined_recordings_come_out_joined_and_in_step(
    jumps: list[int], start: int, audio: bool, reordered: bool, late: int, first: str
) -> None:
    """However far apart, with and without audio and B-frames, wrapped at 33 bits; one track may
    change over a little before the other."""
    packets = recording(2, start, audio=audio, reordered=reordered)
    for jump in jumps:
        start += jump
        part = recording(2, start, audio=audio, reordered=reordered)
        packets = packets[:-late] + by_track([*packets[-late:], *part[:late]], first) + part[late:]
    packets, parts = wrapped(packets), 1 + len(jumps)
    shown = places(packets, timeline(packets[:20]))
    assert len(shown) == 50 * parts
    steps = [float(b - a) for a, b in pairwise(shown)]
    assert 0.5 * FRAME <= min(steps) <= max(steps) < 3 * FRAME
    assert float(shown[-1]) == pytest.approx(2 * parts, abs=0.1 * parts)
    if audio:
        heard = places(packets, timeline(packets[:20]), "audio")
        pieces = len(heard) // parts
        apart = [heard[n * pieces - 1] - shown[n * 50 - 1] for n in range(1, parts + 1)]
        assert max(apart) - min(apart) < 0.02  # what belongs together stays together


def test_a_jump_back_of_a_minute_that_arrives_as_one_of_a_day_is_joined() -> None:
    """FFmpeg takes stamps a minute below the first for wrapped ones."""
    first, second = recording(6, 100), recording(6, 100 - 70)
    later = [replace(p, dts=p.dts + WRAP, pts=p.pts + WRAP) for p in second]  # type: ignore[operator]
    jumps = [r.jump for _, r, _ in placed([*first, *later], timeline(first)) if r.jump]
    assert [round(jump.by_s) for jump in jumps] == [-76]
    assert max(places([*first, *later], timeline(first))) == pytest.approx(12, abs=0.1)


def test_a_wrap_is_no_jump() -> None:
    packets = wrapped(recording(6, WRAP - 3))
    results = list(placed(packets, timeline(packets[:20])))
    assert not any(result.jump for _, result, _ in results)
    shown = sorted(place for p, _, place in results if p.track == "video")  # type: ignore[type-var]
    assert {b - a for a, b in pairwise(shown)} == {FRAME}  # type: ignore[operator]


def test_a_gap_that_is_meant_is_kept_and_said() -> None:
    """As a recorder writes that waits for motion."""
    packets = [*recording(3), *recording(3, 303)]
    results = list(placed(packets, timeline(packets, 3600)))
    (jump,) = [result.jump for _, result, _ in results if result.jump]
    assert (jump.kept, round(jump.at_s), round(jump.by_s)) == (True, 3, 300)
    assert all(place == p.pts for p, _, place in results)


def slow(
    rate: Fraction, frames: int, start: Fraction | int = 0, *, audio: bool = True
) -> list[Stamped]:
    """Slides as x264 reorders them: of four, the last comes first, then those between."""
    frame, order = 1 / rate, [0]
    for n in range(1, frames, 4):
        order += [n + m for m in (3, 1, 0, 2) if n + m < frames]
    packets = [
        Stamped("video", start + (k - 2) * frame, start + n * frame, frame)
        for k, n in enumerate(order)
    ]
    pieces = [start + k * Fraction(1, 2) for k in range(int(frames * frame * 2) if audio else 0)]
    packets += [Stamped("audio", at, at, Fraction(1, 2)) for at in pieces]
    return sorted(packets, key=lambda p: (p.dts, p.track))


SLOW = st.sampled_from([Fraction(1, n) for n in (60, 40, 20, 10, 5, 3, 2, 1)] + [Fraction(2)])


@settings(max_examples=60, deadline=None)
@given(
    rate=SLOW,
    gap_s=st.sampled_from([10.0, 3600.0]),
    unknown=st.integers(0, 9),
    late=st.sampled_from(["", "audio", "video"]),
)
def test_slow_frames_that_are_reordered_are_exact(
    rate: Fraction, gap_s: float, unknown: int, late: str
) -> None:
    """Also where the first decoding times are unknown, as in Matroska, and where one track is
    written long after the other."""
    packets = slow(rate, 9)
    packets = by_track(packets, "video" if late == "audio" else "audio") if late else packets
    video = [p for p in packets if p.track == "video"]
    packets = [replace(p, dts=None) if p in video[:unknown] else p for p in packets]
    line = Timeline(Fraction(0), TimePolicy(Fraction(gap_s), WRAP if gap_s == 10 else None))
    results = list(placed(packets, line))
    assert all(place == p.pts for p, _, place in results)
    assert not any(result.jump for _, result, _ in results)


@settings(max_examples=40, deadline=None)
@given(
    rate=SLOW,
    jump=st.sampled_from([-8 * HOUR, -3 * HOUR, 3 * HOUR, 13 * HOUR]),
    audio=st.booleans(),
)
def test_slow_recordings_come_out_joined(rate: Fraction, jump: int, audio: bool) -> None:
    packets = wrapped(slow(rate, 9, 9 * HOUR, audio=audio))
    packets += wrapped(slow(rate, 9, 9 * HOUR + jump, audio=audio))
    line = Timeline(Fraction(9 * HOUR), TimePolicy(Fraction(10), WRAP))
    results = list(placed(packets, line))
    assert [result.jump is not None for _, result, _ in results].count(True) == 1
    frames = [place for p, _, place in results if p.track == "video" and place is not None]
    steps = [b - a for a, b in pairwise(sorted(frames))]
    assert len(frames) == 18
    assert set(steps[:8] + steps[9:]) == {1 / rate}
    assert 0 < steps[8] < 2 / rate + 1


@pytest.mark.parametrize("hours", [1.5, 13])
def test_a_longer_gap_is_joined(hours: float) -> None:
    packets = [*recording(3), *recording(3, 3 + round(hours * HOUR))]
    assert max(places(packets, timeline(packets, 3600))) == pytest.approx(6, abs=0.1)


def test_a_gap_that_is_written_as_a_frames_duration_is_one() -> None:
    """As in MP4, where each frame says how long it lasts."""
    first = recording(3, audio=False, reordered=False)
    first[-1] = replace(first[-1], lasts=Fraction(13 * HOUR))
    packets = [*first, *recording(3, 3 + 13 * HOUR, audio=False, reordered=False)]
    assert max(places(packets, timeline(packets, 3600))) == pytest.approx(7, abs=0.2)


def test_a_gap_that_is_kept_is_said_as_long_as_it_is() -> None:
    """Also where the frame before it says that it lasts as long, as in MP4."""
    first = recording(3, audio=False, reordered=False)
    first[-1] = replace(first[-1], lasts=Fraction(600))
    packets = [*first, *recording(3, 603, audio=False, reordered=False)]
    jumps = [r.jump for _, r, _ in placed(packets, timeline(packets, 3600)) if r.jump]
    assert [(round(j.at_s, 1), round(j.by_s, 1), j.kept) for j in jumps] == [(3.0, 600.0, True)]


def test_a_gap_among_frames_that_wait_for_each_other_squeezes_nothing() -> None:
    """As where a receiver lost twenty seconds: it goes on within a group of frames."""
    packets = [p for p in recording(30, audio=False) if not 3 < (p.dts or 0) < 23]
    line, frames = timeline(packets), []
    for p in packets:
        frames.append(line.place("video", p.dts, p.pts, p.lasts, keyframe=p is packets[0]).pts)
    times = sorted(time for time in frames if time is not None)
    assert min(b - a for a, b in pairwise(times)) >= 0.5 * FRAME
    assert times[-1] == pytest.approx(10, abs=0.1)


@given(
    number=st.integers(1, 48),
    by_s=st.one_of(st.integers(-HOUR, -2), st.integers(2, HOUR)),
    audio=st.booleans(),
)
def test_a_stamp_is_a_stray_where_it_jumps(number: int, by_s: int, audio: bool) -> None:
    """And the next one is none where it stands alone."""
    packets = recording(2, 100, audio=audio, reordered=False)
    line = Timeline(Fraction(100), TimePolicy(Fraction(HOUR), WRAP))
    video = [p for p in packets if p.track == "video"]
    for p in packets:
        if p is video[number]:
            assert p.dts is not None
            assert line.is_stray("video", p.dts + by_s, p.dts + by_s)
        assert not line.is_stray(p.track, p.dts, p.pts)
        line.place(p.track, p.dts, p.pts, p.lasts)


def test_slides_keep_their_rhythm() -> None:
    """Twenty seconds apart in a container whose gaps end at ten: all but the first are kept."""
    packets = [Stamped("video", Fraction(20 * n), Fraction(20 * n), FRAME) for n in range(9)]
    steps = [b - a for a, b in pairwise(places(packets, timeline(packets)))]
    assert steps[2:] == [20] * 6


def test_audio_here_and_there_tears_nothing() -> None:
    audio = [p for p in recording(60) if p.track == "audio" and 30 < p.dts % 40 < 31]  # type: ignore[operator]
    video = recording(60, audio=False)
    packets = sorted([*video, *audio], key=lambda p: p.dts)  # type: ignore[arg-type,return-value]
    assert all(place == p.pts for p, _, place in placed(packets, timeline(packets)))


def test_a_track_may_be_missing_from_the_first_part() -> None:
    first, second = recording(6, 100, audio=False), recording(6, 20)
    second.sort(key=lambda p: p.track)  # the audio comes first, and has no past
    packets = [*first, *second]
    heard = places(packets, timeline(first), "audio")
    assert min(heard) == pytest.approx(6, abs=0.1)
    assert max(places(packets, timeline(first))) == pytest.approx(12, abs=0.2)


STAMPS = st.one_of(
    st.none(),
    st.integers(-(2**62), 2**62),
    st.integers(-90_000, 900_000),
    st.sampled_from([0, 3600, 7200, 2**31, 2**33 - 1]),
)
TRACKS = st.sampled_from(["video", "audio"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(TRACKS, STAMPS, STAMPS, st.integers(0, 2**40)), min_size=1, max_size=80),
    st.sampled_from([10.0, 3600.0]),
    st.booleans(),
)
def test_whatever_comes_time_rises_and_nothing_stands_for_hours(
    packets: list[tuple[str, int | None, int | None, int]], gap_s: float, wraps: bool
) -> None:
    line = Timeline(Fraction(0), TimePolicy(Fraction(gap_s), WRAP if wraps else None))
    frames, ticks = FrameTimes(Fraction(1, 90_000), 3600), []
    for track, dts, pts, lasts in packets:
        times = [None if t is None else Fraction(t, 90_000) for t in (dts, pts)]
        result = line.place(track, *times, Fraction(lasts, 90_000))
        if track == "video":
            ticks.append(frames.placed(None if result.pts is None else round(result.pts * 90_000)))
    assert all(a < b for a, b in pairwise(ticks))
    most_s = len(packets) * (max(gap_s, 600) + 20)
    assert ticks == [] or ticks[-1] - ticks[0] <= most_s * 90_000


def test_subtitles_follow_and_tear_nothing() -> None:
    """They may come in any order, and long before or after what they belong to."""
    first, second = recording(6, 100), recording(6, 5000)
    line = timeline(first)
    list(placed(first, line))
    assert [line.beside(Fraction(n)) for n in (103, 101, 109)] == [3, 1, 9]
    list(placed(second, line))
    assert [round(float(line.beside(Fraction(n))), 1) for n in (5001, 5004)] == [7.0, 10.0]
    assert 0 <= line.beside(Fraction(2**62)) < 30
    assert 0 <= line.beside(Fraction(-(2**62))) < 30
    assert max(places(recording(6, 5006), line)) == pytest.approx(18, abs=0.1)


def test_frames_without_stamps_follow_at_their_rate() -> None:
    frames = FrameTimes(Fraction(1, 90_000), 3600)
    given_stamps = [None, None, 7200, None, None, 18_000]
    assert [frames.placed(stamp) for stamp in given_stamps] == [
        0,
        3600,
        7200,
        10_800,
        14_400,
        18_000,
    ]


def test_a_repeated_stamp_is_placed_between() -> None:
    frames = FrameTimes(Fraction(1, 90_000), 3600)
    assert [frames.placed(stamp) for stamp in (0, 0, 3600, 3600)] == [0, 1800, 3600, 5400]


def test_stamps_that_stand_still_are_no_stamps() -> None:
    frames = FrameTimes(Fraction(1, 90_000), 3600)
    times = [frames.placed(0) for _ in range(100)]
    assert times[-1] - times[4] == 95 * 3600


def test_presentation_times_that_are_decoding_times_are_found_out() -> None:
    """As FFmpeg reads H.264 with B-frames from AVI."""
    choice = StampChoice()
    wrong = [(1, 2), (2, 3), (3, 4), (6, 5), (5, 6), (7, 7), (4, 8), (10, 9), (9, 10), (146, None)]
    assert [choice.best(*stamps) for stamps in wrong] == [1, 2, 3, 6, 6, 7, 8, 9, 10, 146]
    assert [StampChoice().best(*stamps) for stamps in ((None, 4), (5, 3), (None, None))] == [
        4,
        5,
        None,
    ]


def test_stamps_that_are_parted_by_a_tick_stand_still() -> None:
    """As muxers write that must not repeat a decoding time."""
    frames = FrameTimes(Fraction(1, 90_000), 3600)
    stamps = [0, 3600, *range(3601, 3612), 12 * 3600 + 3600, 50_400]
    times = [frames.placed(stamp) for stamp in stamps]
    assert all(b - a >= 1800 for a, b in pairwise(times))
    assert times[-1] == 50_400


def test_frames_at_the_end_without_stamps_keep_the_rhythm_of_those_before() -> None:
    frames = FrameTimes(Fraction(1, 1000), 40)
    assert [frames.placed(n) for n in (0, 60_000, 120_000, None, None)][-2:] == [180_000, 240_000]


def test_where_decoding_times_are_alone_frames_are_as_far_behind_them_as_the_first() -> None:
    choice = StampChoice(shown=False, step=1)
    choice.note(3)
    assert [choice.best(9, 5), choice.best(1, 6), choice.best(2, None)] == [3, 4, None]


def test_unwrapping_finds_the_nearest() -> None:
    assert unwrapped(Fraction(1), WRAP - 1, WRAP) == WRAP + 1
    assert unwrapped(Fraction(1), WRAP - 1, None) == 1
