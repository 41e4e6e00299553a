"""Bounded channels: order, both policies, exact counts, and the two ways to end."""

import threading
from collections.abc import Callable

import pytest

from streamsr.pipeline.channel import Channel, Closed, Overflow


def started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


@pytest.mark.parametrize("overflow", list(Overflow))
def test_first_in_first_out(overflow: Overflow) -> None:
    channel: Channel[int] = Channel(3, overflow)
    assert [channel.send(n) for n in (1, 2, 3)] == [False] * 3
    assert len(channel) == 3
    assert [channel.receive() for _ in range(3)] == [1, 2, 3]
    assert (len(channel), channel.dropped) == (0, 0)


def test_a_full_live_channel_drops_its_oldest_and_says_so() -> None:
    channel: Channel[int] = Channel(2, Overflow.DROP_OLDEST)
    assert [channel.send(n) for n in range(5)] == [False, False, True, True, True]
    assert channel.dropped == 3
    assert [channel.receive(), channel.receive()] == [3, 4]


def test_a_full_file_channel_makes_its_sender_wait() -> None:
    channel: Channel[int] = Channel(1, Overflow.WAIT)
    channel.send(0)
    sent: list[bool] = []
    thread = started(lambda: sent.append(channel.send(1)))
    assert sent == []  # full: it cannot have been sent
    assert channel.receive() == 0
    assert channel.receive(10) == 1
    assert ended(thread)
    assert (sent, channel.dropped) == ([False], 0)


def test_a_receiver_waits_for_an_item() -> None:
    channel: Channel[str] = Channel(1, Overflow.WAIT)
    got: list[str] = []
    thread = started(lambda: got.append(channel.receive()))
    channel.send("late")
    assert ended(thread)
    assert got == ["late"]


def test_receiving_gives_up_in_time() -> None:
    channel: Channel[int] = Channel(1, Overflow.WAIT)
    with pytest.raises(TimeoutError):
        channel.receive(0.01)


def test_what_is_queued_when_it_closes_can_still_be_taken() -> None:
    channel: Channel[int] = Channel(2, Overflow.WAIT)
    channel.send(1)
    channel.close()
    with pytest.raises(Closed):
        channel.send(2)
    assert channel.receive() == 1
    with pytest.raises(Closed):
        channel.receive()
    assert channel.dropped == 0


def test_what_is_queued_when_it_is_aborted_counts_as_dropped() -> None:
    channel: Channel[int] = Channel(3, Overflow.WAIT)
    channel.send(1)
    channel.send(2)
    channel.abort()
    channel.abort()
    assert channel.dropped == 2
    with pytest.raises(Closed):
        channel.receive()


@pytest.mark.parametrize("end", [Channel.close, Channel.abort])
def test_an_end_wakes_those_who_wait(end: Callable[[Channel[int]], None]) -> None:
    full: Channel[int] = Channel(1, Overflow.WAIT)
    full.send(0)
    empty: Channel[int] = Channel(1, Overflow.WAIT)
    woken: list[str] = []

    def send() -> None:
        with pytest.raises(Closed):
            full.send(1)
        woken.append("sender")

    def receive() -> None:
        with pytest.raises(Closed):
            empty.receive()
        woken.append("receiver")

    threads = [started(send), started(receive)]
    end(full)
    end(empty)
    assert all(ended(thread) for thread in threads)
    assert sorted(woken) == ["receiver", "sender"]


@pytest.mark.parametrize("overflow", list(Overflow))
def test_nothing_is_lost_uncounted_between_threads(overflow: Overflow) -> None:
    channel: Channel[int] = Channel(4, overflow)
    received: list[int] = []

    def take() -> None:
        try:
            while True:
                received.append(channel.receive(10))
        except Closed:
            pass

    thread = started(take)
    for n in range(2000):
        channel.send(n)
    channel.close()
    assert ended(thread)
    assert len(received) + channel.dropped == 2000
    assert received == sorted(received)
    assert overflow is not Overflow.WAIT or received == list(range(2000))


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity: got 0, allowed is 1 or more"):
        Channel(0, Overflow.WAIT)
