"""Which recordings have to go: names, age and room, without a disk or a clock."""

from datetime import UTC, datetime, timedelta

import pytest

from streamsr.media.recordings import Recording, name_of, recording_of
from streamsr.outputs.retention import Clock, due, to_remove

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_a_name_says_when_it_began() -> None:
    assert name_of("cam", NOON) == "cam-20261124T120000Z.mp4"
    assert name_of("cam", NOON, 2) == "cam-20261124T120000Z-2.mp4"


@pytest.mark.parametrize("number", [1, 2, 17])
def test_a_name_is_understood_again(number: int) -> None:
    name = name_of("a_b-c", NOON, number)
    assert recording_of("a_b-c", name, 7) == Recording(NOON, number, name, 7)


@pytest.mark.parametrize(
    "name",
    [
        "cam-20261124T120000Z.mkv",
        "cam-20261124T120000Z.mp4.bak",
        "cam-20261124T120000Z-1.mp4",
        "cam-20261124T120000Z-02.mp4",
        "cam-20261324T120000Z.mp4",
        "cam-20261124T120000.mp4",
        "cam-20261124T120000Z-20261124T120000Z.mp4",
        "cam2-20261124T120000Z.mp4",
        "my-cam-20261124T120000Z.mp4",
        "xcam-20261124T120000Z.mp4",
        "CAM-20261124T120000Z.mp4",
        "cam-20261124T120000Z.mp4\n",
        "cam-\u0662\u0660\u0662\u06661124T120000Z.mp4",
        "holiday.mp4",
        "",
    ],
)
def test_other_files_are_nobodys(name: str) -> None:
    assert recording_of("cam", name) is None


def made(*hours_ago: float) -> list[Recording]:
    starts = [NOON - timedelta(hours=hours) for hours in hours_ago]
    return [Recording(start, 1, name_of("cam", start), 100) for start in starts]


def removed(recordings: list[Recording], **limits: float | None) -> list[float]:
    """How old those that go are, in hours, in the order in which they go."""
    settings = {"keep_s": None, "free_bytes": 0, "wanted_bytes": 0} | limits
    gone = to_remove(recordings, NOON, **settings)
    return [(NOON - recording.started).total_seconds() / 3600 for recording in gone]


def test_nothing_goes_without_a_reason() -> None:
    assert removed(made(1, 1000)) == []


def test_the_old_ones_go() -> None:
    assert removed(made(1, 49, 25, 24), keep_s=86_400) == [49, 25]


def test_a_few_go_at_once_by_age_and_as_many_as_must_for_room() -> None:
    old = made(*range(25, 1025))
    assert removed(old, keep_s=86_400) == [1024, 1023, 1022]
    assert len(removed(old, keep_s=86_400, free_bytes=0, wanted_bytes=50_000)) == 500


def looked_at(*steps: tuple[float, float]) -> Clock:
    """The clock after looks at it, each so many seconds on, and so many by the wall's."""
    clock, now_s, wall = Clock(NOON, 100.0), 100.0, NOON
    for went_s, wall_s in steps:
        now_s, wall = now_s + went_s, wall + timedelta(seconds=wall_s)
        clock.read(wall, now_s)
    return clock


DAY_S = 86_400
HOUR = [(60.0, 60.0)] * 60


def test_a_clock_is_steady_after_an_hour_without_a_step() -> None:
    assert not looked_at().steady
    assert not looked_at(*HOUR[:-1]).steady
    assert looked_at(*HOUR).steady
    assert looked_at(*[(5, 5.05)] * 720).steady, "slewed"


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S, 300, -300, 400 * DAY_S])
def test_a_step_of_the_clock_counts_for_an_hour(step_s: float) -> None:
    stepped = [*HOUR, (5.0, 5.0 + step_s)]
    assert not looked_at(*stepped).steady
    assert not looked_at(*stepped, *HOUR[:-1]).steady
    assert looked_at(*stepped, *HOUR).steady
    assert not looked_at(*stepped, *HOUR, (5.0, 5.0 - step_s)).steady, "put right"


def test_a_long_time_between_looks_is_no_step() -> None:
    assert looked_at((DAY_S, DAY_S + 30)).steady


def test_the_oldest_go_until_there_is_room() -> None:
    assert removed(made(2, 4, 1, 3), free_bytes=50, wanted_bytes=200) == [4, 3]
    assert removed(made(2, 4, 1, 3), free_bytes=0, wanted_bytes=200) == [4, 3]
    assert removed(made(2, 4), free_bytes=200, wanted_bytes=200) == []
    assert removed(made(2, 4), free_bytes=0, wanted_bytes=10_000) == [4, 2]


def test_those_that_go_by_age_make_room_too() -> None:
    assert removed(made(30, 2, 1), keep_s=86_400, free_bytes=0, wanted_bytes=100) == [30]


def test_later_files_of_a_second_are_newer() -> None:
    twins = [Recording(NOON, n, name_of("cam", NOON, n), 1) for n in (10, 2, 1)]
    assert [r.number for r in sorted(twins)] == [1, 2, 10]


def test_a_file_ends_at_the_keyframe_after_its_time() -> None:
    assert not due(10.0, 11.96, 2.0)
    assert due(10.0, 12.0, 2.0)
    assert due(10.0, 11.9999, 2.0), "as near as 1/90000 s can say"
