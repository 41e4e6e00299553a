"""``map``: lazy, bounded, in order, on all threads; and it ends cleanly, however it ends."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import pytest

import streamsr

SIDE = 24


def image(number: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), number % 256, np.uint8)


def numbers(made: Any) -> list[int]:
    return [int(one[0, 0, 0]) for one in made]


def until(true: Callable[[], bool]) -> None:
    """Waits for what another thread does."""
    end_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.005)


@pytest.fixture
def upscaler() -> Iterator[streamsr.Upscaler]:
    with streamsr.Upscaler("bicubic", device="cpu") as made:
        yield made


class Source:
    """Endless images; ``read`` is how many were asked for."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for number in count():
            self.read += 1
            yield image(number)

    async def __aiter__(self) -> AsyncIterator[np.ndarray]:
        for one in self:
            yield one


def test_an_endless_source_is_read_a_few_images_ahead(upscaler: streamsr.Upscaler) -> None:
    source = Source()
    made = upscaler.map(iter(source))
    assert source.read == 0, "nothing is read before it is asked for"
    assert numbers(islice(made, 300)) == [n % 256 for n in range(300)]
    assert source.read <= 300 + 2 * upscaler.engine.workers + 2


def test_what_is_not_taken_is_not_upscaled(upscaler: streamsr.Upscaler) -> None:
    source = Source()
    for _ in upscaler.map(source):  # type: ignore[call-overload]
        break
    gc.collect()
    read = source.read
    assert numbers(upscaler.map([image(7)])) == [7], "and the upscaler goes on"
    assert source.read == read


@pytest.mark.parametrize("model", ["fast", "waiting"])
def test_leaving_early_leaves_nothing_to_the_next(waiting: streamsr.Model, model: str) -> None:
    """Windows that nobody waits for are dropped, with those that need what they leave."""
    given = [np.random.default_rng(n).integers(0, 256, (SIDE, SIDE, 3), np.uint8) for n in range(9)]
    with streamsr.Upscaler(
        waiting.folder if model == "waiting" else model, device="cpu"
    ) as upscaler:
        whole = upscaler(given)
        for taken in range(5):
            made = list(islice(upscaler.map(given), taken))
            assert all(np.array_equal(a, b) for a, b in zip(made, whole, strict=False))
        assert all(np.array_equal(a, b) for a, b in zip(upscaler(given), whole, strict=True))
        pool: Any = upscaler.engine.engines._pool
        until(lambda: len(pool._scheduler) == 0)


def test_a_map_that_was_closed_is_over(upscaler: streamsr.Upscaler) -> None:
    made = upscaler.map(iter(Source()))
    assert numbers([next(made)]) == [0]
    made.close()
    assert list(made) == []


async def test_a_map_is_closed_with_its_context(upscaler: streamsr.Upscaler) -> None:
    with upscaler.map(iter(Source())) as made:
        assert numbers([next(made)]) == [0]
    assert list(made) == []
    for source in (iter(Source()), aiter(Source())):
        async with upscaler.map(source) as later:
            assert numbers([await anext(later)]) == [0]
        assert [one async for one in later] == []


def test_a_source_that_fails_is_heard_after_what_it_gave(upscaler: streamsr.Upscaler) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield from map(image, range(5))
        raise OSError("the cable is out")

    made = upscaler.map(failing())
    assert numbers(islice(made, 5)) == list(range(5))
    with pytest.raises(OSError, match="cable"):
        next(made)
    assert list(made) == []


def test_a_wrong_image_is_heard_after_those_before_it(upscaler: streamsr.Upscaler) -> None:
    made = upscaler.map([image(1), image(2), np.zeros((9, 9, 3), np.uint8), image(3)])
    assert numbers(islice(made, 2)) == [1, 2]
    with pytest.raises(streamsr.InputError, match="image 3: got 9x9, allowed is 24x24"):
        next(made)
    assert list(made) == []


def test_an_error_that_ends_programs_is_raised_at_once(upscaler: streamsr.Upscaler) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield image(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(upscaler.map(interrupted()))


def test_tags_come_out_with_their_images(upscaler: streamsr.Upscaler) -> None:
    pairs = [(image(number), f"at {number}") for number in range(20)]
    made = list(upscaler.map(pairs))
    assert [tag for _, tag in made] == [tag for _, tag in pairs]
    assert numbers(one for one, _ in made) == list(range(20))
    arrays = list(upscaler.map((image(n), np.arange(n)) for n in range(3)))
    assert [len(tag) for _, tag in arrays] == [0, 1, 2]


def test_a_lookahead_holds_images_back_and_flush_gives_them(waiting: streamsr.Model) -> None:
    with streamsr.Upscaler(waiting.folder, device="cpu") as upscaler:
        wait = upscaler.lookahead
        assert wait == waiting.lookahead == 1
        given = [image(number) for number in range(wait + 3)]
        pushed = [upscaler.push(one, number) for number, one in enumerate(given)]
        rest = upscaler.flush()
        assert [tag for made in (*pushed, rest) for _, tag in made] == list(range(wait + 3))
        assert len(rest) == wait
        whole = [made for made, _ in (*(p for ps in pushed for p in ps), *rest)]
        assert all(np.array_equal(a, b) for a, b in zip(whole, upscaler.map(given), strict=True))


def test_all_threads_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each window waits until as many run as there are threads."""
    monkeypatch.setattr("streamsr.engine.engines.cores", lambda: 3)
    from streamsr.engine.cpu import resample

    running = threading.Barrier(3, timeout=30)
    resize = resample.resize_frame

    def together(*arguments: Any) -> Any:
        running.wait()
        return resize(*arguments)

    with streamsr.Upscaler("bicubic", device="cpu") as upscaler:
        assert upscaler.engine.workers == 3
        monkeypatch.setattr(resample, "resize_frame", together)
        assert numbers(upscaler.map(map(image, range(30)))) == list(range(30))


def test_a_slow_source_does_not_hold_results_back(upscaler: streamsr.Upscaler) -> None:
    """Once an image has been upscaled, only one more is read before it comes out."""
    given: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for number in range(4):
            until(lambda: not made._flow.tickets or made._flow.due)
            given.append(number)
            yield image(number)

    made = upscaler.map(camera())
    for number, one in enumerate(made):
        assert int(one[0, 0, 0]) == number
        assert given[-1] <= number + 1


def test_maps_of_one_upscaler_run_side_by_side(upscaler: streamsr.Upscaler) -> None:
    first, second = (upscaler.map(map(image, range(at, at + 40))) for at in (0, 100))
    made = [(int(a[0, 0, 0]), int(b[0, 0, 0])) for a, b in zip(first, second, strict=True)]
    assert made == [(n, n + 100) for n in range(40)]


def test_threads_may_share_an_upscaler(upscaler: streamsr.Upscaler) -> None:
    results: dict[int, list[int]] = {}

    def work(at: int) -> None:
        results[at] = numbers(upscaler.map(map(image, range(at, at + 30))))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(0, 120, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {at: list(range(at, at + 30)) for at in range(0, 120, 30)}


@pytest.mark.parametrize("what", ["image", "clips", "path", "number"])
def test_what_is_no_clip_is_named(upscaler: streamsr.Upscaler, what: str) -> None:
    wrong: dict[str, Any] = {
        "image": image(0),
        "clips": np.zeros((2, 2, 24, 24, 3), np.uint8),
        "path": "in.mp4",
        "number": 3,
    }
    with pytest.raises(streamsr.InputError, match=r"images: got .*, allowed"):
        upscaler.map(wrong[what])


def test_closing_ends_what_runs(upscaler: streamsr.Upscaler) -> None:
    made = upscaler.map(iter(Source()))
    next(made)
    upscaler.close()
    with pytest.raises(streamsr.InputError, match="the upscaler is closed"):
        for _ in made:
            pass
    for act in (upscaler.flush, lambda: upscaler.push(image(0)), lambda: upscaler(image(0))):
        with pytest.raises(streamsr.InputError, match="the upscaler is closed"):
            act()
    upscaler.close()
    assert upscaler.closed


def test_images_do_not_wait_for_the_garbage_collection(upscaler: streamsr.Upscaler) -> None:
    list(upscaler.map(map(image, range(10))))
    gc.collect()
    gc.disable()
    try:
        list(upscaler.map(map(image, range(200))))
        assert gc.collect() < 100
    finally:
        gc.enable()


def test_a_closed_engine_is_what_is_named() -> None:
    engine = streamsr.Engine("cpu")
    upscaler = engine.stream("bicubic")
    made = upscaler.map(iter(Source()))
    next(made)
    engine.close()
    acts = (lambda: [*made], upscaler.flush, lambda: upscaler.push(image(0)), upscaler.__enter__)
    for act in acts:
        with pytest.raises(streamsr.InputError, match="the upscaler's engine is closed: got"):
            act()
    upscaler.close()
    with pytest.raises(streamsr.InputError, match="the upscaler is closed"):
        upscaler(image(0))


# asynchronous


async def test_a_clip_is_iterated_asynchronously(upscaler: streamsr.Upscaler) -> None:
    made = [one async for one in upscaler.map(map(image, range(40)))]
    assert numbers(made) == list(range(40))


async def test_an_asynchronous_source_is_read_a_few_images_ahead(
    upscaler: streamsr.Upscaler,
) -> None:
    source, made = Source(), []
    async for one in upscaler.map(aiter(source)):
        made.append(one)
        if len(made) == 100:
            break
    assert numbers(made) == list(range(100))
    assert source.read <= 100 + 2 * upscaler.engine.workers + 2


async def test_a_result_does_not_wait_for_the_next_image(upscaler: streamsr.Upscaler) -> None:
    never = asyncio.Event()

    async def camera() -> AsyncIterator[np.ndarray]:
        yield image(5)
        await never.wait()

    async with asyncio.timeout(30):
        made = upscaler.map(camera())
        assert int((await anext(made))[0, 0, 0]) == 5
        await made.aclose()


async def test_an_asynchronous_source_that_fails_is_heard(upscaler: streamsr.Upscaler) -> None:
    async def failing() -> AsyncIterator[tuple[np.ndarray, int]]:
        for number in range(3):
            yield image(number), number
        raise OSError("the cable is out")

    made = upscaler.map(failing())
    assert [(await anext(made))[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="cable"):
        await anext(made)


async def test_the_loop_runs_on_while_images_are_upscaled(upscaler: streamsr.Upscaler) -> None:
    async with upscaler:
        one, clip, pushed, none = await asyncio.gather(
            upscaler.aupscale(image(3)),
            upscaler.aupscale([image(4), image(5)]),
            upscaler.apush(image(6)),
            asyncio.sleep(0),
        )
        assert (numbers([one]), numbers(clip), numbers(pushed), none) == ([3], [4, 5], [6], None)
        assert await upscaler.aflush() == []
    assert upscaler.closed


async def test_a_task_that_is_cancelled_leaves_nothing_behind(upscaler: streamsr.Upscaler) -> None:
    source, begun = Source(), asyncio.Event()

    async def work() -> None:
        async for _ in upscaler.map(aiter(source)):
            begun.set()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    read = source.read
    assert numbers([await upscaler.aupscale(image(9))]) == [9]
    assert source.read == read
