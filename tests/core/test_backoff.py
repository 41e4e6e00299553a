"""Delays between tries."""

import asyncio

from streamsr.core.backoff import Backoff, keep_trying


def test_delays_double_to_the_last_and_stay_there() -> None:
    backoff = Backoff(0.5, 5.0)
    for full in (0.5, 1, 2, 4, 5, 5, 5):
        assert 0.75 * full <= backoff.next_s() <= full


def test_it_never_gives_up() -> None:
    backoff = Backoff(0.5, 5.0)
    assert all(backoff.next_s() <= 5 for _ in range(10_000))


def test_a_success_starts_anew() -> None:
    backoff = Backoff(0.5, 5.0)
    for _ in range(6):
        backoff.next_s()
    backoff.succeeded()
    assert backoff.next_s() <= 0.5


def test_two_that_failed_together_do_not_come_back_together() -> None:
    one, other = Backoff(), Backoff()
    assert [one.next_s() for _ in range(4)] != [other.next_s() for _ in range(4)]


async def test_what_fails_is_tried_again_until_it_succeeds() -> None:
    outcomes = iter(["refused", "refused", None])
    failures: list[tuple[str, float]] = []

    async def attempt() -> str | None:
        return next(outcomes)

    backoff = Backoff(0.001, 0.002)
    await keep_trying(attempt, backoff, asyncio.Event(), lambda *f: failures.append(f))
    assert [reason for reason, _ in failures] == ["refused", "refused"]
    assert all(0 < delay_s <= 0.002 for _, delay_s in failures)


async def test_a_stop_ends_the_pause_between_tries() -> None:
    stopping = asyncio.Event()

    async def attempt() -> str | None:
        return "refused"

    async with asyncio.timeout(5):
        await keep_trying(attempt, Backoff(60.0, 60.0), stopping, lambda *f: stopping.set())


async def test_nothing_is_tried_once_it_is_to_stop() -> None:
    stopping = asyncio.Event()
    stopping.set()

    async def attempt() -> str | None:
        raise AssertionError("tried")

    await keep_trying(attempt, Backoff(), stopping, lambda *f: None)
