"""What is run where the memory is short: less at once, and more again later. In simulated time."""

from itertools import pairwise

import pytest

from streamsr.engine.cuda.capacity import FIRST_S, MOST_S, NEXT_S, Capacity, Fit, fits_of

BATCHES = fits_of(4, ring=False, tiles=(2, 4))


def test_each_way_takes_less_memory_than_the_one_before() -> None:
    in_tiles = [Fit(1, keeps=False, tiles=n) for n in (2, 4)]
    assert [Fit(4), Fit(2), Fit(1), *in_tiles, Fit(0)] == BATCHES
    with_ring = fits_of(3, ring=True, tiles=(2,))
    assert with_ring == [Fit(3), Fit(1), Fit(1, keeps=False), in_tiles[0], Fit(0)]
    assert fits_of(1, ring=False, tiles=()) == [Fit(1), Fit(0)]


def test_the_best_way_is_kept_while_it_fits() -> None:
    capacity = Capacity(BATCHES)
    for now_s in (0.0, 50.0, 5000.0):
        assert capacity.fit(now_s) == capacity.best
        capacity.worked(now_s)


def test_a_short_memory_goes_down_to_plain_scaling_at_once() -> None:
    capacity = Capacity(BATCHES)
    assert [capacity.failed(0.0) for _ in range(7)] == [*BATCHES[1:], Fit(0), Fit(0)]
    assert capacity.fit(FIRST_S / 2) == Fit(0)


def test_more_is_tried_again_and_where_it_fits_still_more_soon() -> None:
    capacity = Capacity(BATCHES)
    for _ in BATCHES:
        capacity.failed(0.0)
    now_s, used = FIRST_S, []
    for _ in BATCHES[1:]:
        used.append(capacity.fit(now_s))
        capacity.worked(now_s)
        assert capacity.fit(now_s + NEXT_S / 2) == used[-1]
        now_s += NEXT_S
    assert used == BATCHES[-2::-1]
    assert capacity.fit(now_s) == capacity.best


def test_what_still_does_not_fit_is_tried_after_twice_as_long() -> None:
    capacity = Capacity(BATCHES)
    capacity.failed(0.0)
    now_s, tried_s = 0.0, [0.0]
    while now_s < 4 * MOST_S:
        now_s += 1.0
        if capacity.fit(now_s) == BATCHES[0]:
            assert capacity.failed(now_s) == BATCHES[1]
            tried_s.append(now_s)
    gaps = [b - a for a, b in pairwise(tried_s)]
    assert gaps[:5] == [FIRST_S * 2**n for n in range(5)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == MOST_S


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        (Fit(4), "at most 4 windows run as one batch"),
        (Fit(1, keeps=False), "windows run one by one, and nothing is kept between them"),
        (Fit(1, keeps=False, tiles=4), "frames are upscaled in 4 tiles"),
        (Fit(0), "frames are scaled plainly"),
    ],
)
def test_it_is_said_in_words(fit: Fit, text: str) -> None:
    assert fit.text == text
