"""The queue before an output's process: bounded, counted, replayed from the beginning, paced."""

import asyncio
from fractions import Fraction

import pytest

from streamsr.core.packet import Packet, Track
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream
from streamsr.outputs.packet_queue import CAPACITY, IN_FLIGHT, PacketQueue

MS = Fraction(1, 1000)


class Stream:
    """A broadcaster of one track whose packets carry their numbers, 1 ms apart."""

    def __init__(self) -> None:
        self.asked = 0  # how often a keyframe was asked for
        self.broadcaster = Broadcaster(self._ask, keyframe_interval_s=0)
        self.sent = 0

    def queue(self, *, live: bool = True, replay: bool = False) -> PacketQueue:
        queue = PacketQueue(self.broadcaster, {Track.OUTPUT}, live=live, replay=replay)
        queue.begin()
        return queue

    def send(self, count: int, *, keyframe: bool = True, step_ms: int = 1) -> None:
        """Sends ``count`` packets, the first of them a keyframe or not."""
        for number in range(count):
            key = keyframe and number == 0
            self.broadcaster.publish(Packet(Track.OUTPUT, b"", self.sent * step_ms, MS, key))
            self.sent += 1

    def _ask(self, tracks: frozenset[Track]) -> None:
        self.asked += 1


async def received(queue: PacketQueue, count: int, *, taken: bool = True) -> list[int]:
    """Receives so many packets, and has them taken at once or not; returns their times in ms."""
    times = []
    for _ in range(count):
        times.append((await queue.receive()).pts)
        if taken:
            queue.taken(len(times))
    return times


async def test_packets_come_in_order_until_the_end_of_the_stream() -> None:
    stream = Stream()
    queue = stream.queue()
    stream.send(3)
    stream.broadcaster.close()
    assert await received(queue, 3) == [0, 1, 2]
    with pytest.raises(EndOfStream):
        await queue.receive()
    queue.end_process()
    queue.end()
    assert queue.dropped == 0


async def test_a_queue_that_was_full_goes_on_at_a_keyframe() -> None:
    stream = Stream()
    queue = stream.queue(live=False)
    stream.send(CAPACITY)
    stream.send(5, keyframe=False)
    assert stream.asked == 2, "at the beginning, and because it was full"
    stream.send(2)
    assert queue.dropped == CAPACITY + 5
    assert await received(queue, 2) == [CAPACITY + 5, CAPACITY + 6]


async def test_a_process_has_a_bounded_number_of_packets_before_it() -> None:
    stream = Stream()
    queue = stream.queue()
    stream.send(IN_FLIGHT + 2)
    await received(queue, IN_FLIGHT, taken=False)
    waiting = asyncio.create_task(queue.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.taken(1)
    assert (await waiting).pts == IN_FLIGHT


async def test_a_live_output_goes_on_with_what_is_new() -> None:
    stream = Stream()
    queue = stream.queue()
    stream.send(5)
    await received(queue, 3, taken=False)
    queue.taken(1)
    queue.end_process()
    assert queue.dropped == 4, "two that the process had, two that were queued"
    stream.send(1)  # nobody wants it
    queue.begin()
    stream.send(3, keyframe=False)  # what comes before a keyframe was not to be delivered
    stream.send(1)
    assert await received(queue, 1) == [9]
    assert queue.dropped == 4


async def test_a_disk_gets_what_it_missed_but_for_what_was_in_flight() -> None:
    stream = Stream()
    queue = stream.queue(live=False)
    stream.send(5)
    await received(queue, 3, taken=False)
    queue.end_process()
    stream.send(1)
    assert (queue.dropped, stream.asked) == (3, 1)
    queue.begin()
    assert stream.asked == 2, "what is queued may begin anywhere"
    assert await received(queue, 3) == [3, 4, 5]


async def test_the_beginning_is_replayed_until_it_was_delivered() -> None:
    stream = Stream()
    queue = stream.queue(replay=True)
    stream.send(5)
    for _ in range(2):
        assert await received(queue, 4) == [0, 1, 2, 3]
        queue.end_process()
        queue.begin()
    assert await received(queue, 5) == [0, 1, 2, 3, 4]
    queue.delivered()
    assert (queue.dropped, stream.asked) == (0, 1)
    queue.end_process()
    queue.begin()
    stream.send(1)
    assert await received(queue, 1) == [5]
    assert queue.dropped == 0


async def test_a_replay_waits_for_the_first_packet_and_keeps_the_streams_pace() -> None:
    stream = Stream()
    queue = stream.queue(replay=True)
    stream.send(4, step_ms=100)
    assert await received(queue, 1, taken=False) == [0]
    second = asyncio.create_task(queue.receive())
    await asyncio.sleep(0)
    assert not second.done(), "the server is not open yet"
    queue.taken(1)
    assert (await second).pts == 100
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    assert await received(queue, 2, taken=False) == [200, 300]
    assert loop.time() - began_s >= 0.19, "two packets, 100 ms apart"


async def test_after_a_replay_that_broke_the_stream_is_as_live_as_ever() -> None:
    stream = Stream()
    queue = stream.queue(replay=True)
    stream.send(2)
    assert await received(queue, 2) == [0, 1]
    queue.delivered()
    queue.end_process()
    queue.begin()
    stream.sent = 60_000
    stream.send(1)
    async with asyncio.timeout(5):
        assert await received(queue, 1) == [60_000]


async def test_what_is_left_at_the_end_is_counted() -> None:
    stream = Stream()
    queue = stream.queue(replay=True)
    stream.send(5)
    assert await received(queue, 2) == [0, 1]
    queue.end_process()
    queue.close()
    stream.send(1)  # it is no part of it
    queue.end()
    assert queue.dropped == 5


async def test_a_queue_that_was_closed_before_it_began_is_at_its_end() -> None:
    stream = Stream()
    queue = PacketQueue(stream.broadcaster, {Track.OUTPUT}, live=True, replay=False)
    queue.close()
    queue.begin()
    stream.send(1)
    with pytest.raises(EndOfStream):
        await queue.receive()
    assert (queue.dropped, len(stream.broadcaster)) == (0, 0)
