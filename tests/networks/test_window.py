"""The order of windows: mirrored borders, readiness, flush and reset."""

import pytest

from streamsr.networks.window import Window, mirrored_indices


def streamed(window: Window, count: int) -> list[tuple[int, ...]]:
    """Push ``count`` frames and flush: every window's frames, read through a ring of their own."""
    ring: list[int] = [-1] * window.size
    windows = []
    for frame in range(count):
        position, ready = window.push()
        ring[position] = frame
        windows += [tuple(ring[i] for i in indices) for indices in ready]
    windows += [tuple(ring[i] for i in indices) for indices in window.flush()]
    return windows


def test_a_clip_of_nine_in_windows_of_five() -> None:
    assert streamed(Window(5), 9) == [
        (4, 3, 0, 1, 2),
        (4, 0, 1, 2, 3),
        (0, 1, 2, 3, 4),
        (1, 2, 3, 4, 5),
        (2, 3, 4, 5, 6),
        (3, 4, 5, 6, 7),
        (4, 5, 6, 7, 8),
        (5, 6, 7, 8, 4),
        (6, 7, 8, 5, 4),
    ]


@pytest.mark.parametrize(
    ("count", "windows"),
    [
        (0, []),
        (1, [(0, 0, 0, 0, 0)]),
        (2, [(1, 1, 0, 1, 0), (1, 0, 1, 0, 0)]),
        (3, [(2, 2, 0, 1, 2), (2, 0, 1, 2, 0), (0, 1, 2, 0, 0)]),
        (4, [(3, 3, 0, 1, 2), (3, 0, 1, 2, 3), (0, 1, 2, 3, 0), (1, 2, 3, 0, 0)]),
        (5, [(4, 3, 0, 1, 2), (4, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 0), (2, 3, 4, 1, 0)]),
    ],
)
def test_clips_no_longer_than_a_window(count: int, windows: list[tuple[int, ...]]) -> None:
    assert streamed(Window(5), count) == windows


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("count", range(1, 18))
def test_streaming_is_the_whole_clip(size: int, count: int) -> None:
    clip = [mirrored_indices(centre, size, count, size // 2) for centre in range(count)]
    assert streamed(Window(size), count) == clip
    for centre, indices in enumerate(clip):
        assert indices[size // 2] == centre
        assert all(0 <= index < count for index in indices)
        if count >= size:
            assert len(set(indices)) == size


def test_windows_come_as_early_as_they_can() -> None:
    window = Window(5)
    ready = [len(window.push()[1]) for _ in range(8)]
    assert ready == [0, 0, 0, 0, 3, 1, 1, 1]
    assert len(window.flush()) == 2
    assert window.flush() == []


def test_a_window_of_one_waits_for_nothing() -> None:
    window = Window(1)
    assert [window.push() for _ in range(3)] == [(0, [(0,)])] * 3
    assert window.flush() == []


@pytest.mark.parametrize("before", [0, 1, 4, 5, 6, 12])
def test_after_a_reset_or_a_flush_a_stream_is_new(before: int) -> None:
    reset, flushed = Window(5), Window(5)
    for _ in range(before):
        reset.push()
        flushed.push()
    reset.reset()
    flushed.flush()
    assert streamed(reset, 9) == streamed(flushed, 9) == streamed(Window(5), 9)


def test_a_window_without_lookahead_repeats_the_first_frame_and_waits_for_none() -> None:
    window = Window(3, 0)
    assert [window.push()[1] for _ in range(4)] == [
        [(0, 0, 0)],
        [(0, 0, 1)],
        [(0, 1, 2)],
        [(1, 2, 0)],
    ]
    assert window.flush() == []
    assert window.push() == (0, [(0, 0, 0)])


@pytest.mark.parametrize("size", [0, -1])
def test_a_window_has_a_frame(size: int) -> None:
    with pytest.raises(ValueError, match=f"got {size}, allowed is 1 or more"):
        Window(size)


@pytest.mark.parametrize(("size", "lookahead"), [(2, 1), (4, 2), (5, 1), (3, 2), (3, -1)])
def test_a_window_is_centred_or_looks_back(size: int, lookahead: int) -> None:
    with pytest.raises(ValueError, match=f"of {size} frames: got {lookahead}, allowed is 0"):
        Window(size, lookahead)
