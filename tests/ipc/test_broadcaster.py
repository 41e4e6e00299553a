"""Fan-out: who gets which packet, and what happens to those who are slow."""

import asyncio
from fractions import Fraction

import pytest
from peers.waiting import until

from streamsr.core.packet import Packet, Track
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream


def packet(track: Track, pts: int, keyframe: bool = False) -> Packet:
    return Packet(track, b"data", pts, Fraction(1, 25), keyframe or track == Track.OPUS)


class Encoder:
    """Counts the keyframes it is asked for."""

    def __init__(self) -> None:
        self.requests = 0
        self.tracks: frozenset[Track] = frozenset()  # of the newest request
        self.asked = asyncio.Event()

    def request(self, tracks: frozenset[Track]) -> None:
        self.requests += 1
        self.tracks = tracks
        self.asked.set()


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def broadcaster(encoder: Encoder) -> Broadcaster:
    return Broadcaster(encoder.request)


async def test_every_subscriber_gets_its_tracks_in_order(broadcaster: Broadcaster) -> None:
    both = broadcaster.subscribe({Track.OUTPUT, Track.OPUS})
    audio = broadcaster.subscribe({Track.OPUS})
    sent = [packet(Track.OUTPUT, 0, keyframe=True), packet(Track.OPUS, 0), packet(Track.OUTPUT, 1)]
    for p in sent:
        broadcaster.publish(p)
    assert [await both.receive() for _ in range(3)] == sent
    assert await audio.receive() == sent[1]
    assert len(broadcaster) == 2


async def test_each_video_track_begins_at_a_keyframe_of_its_own(broadcaster: Broadcaster) -> None:
    subscription = broadcaster.subscribe({Track.INPUT, Track.OUTPUT, Track.OPUS})
    sent = [
        packet(Track.OUTPUT, 0),
        packet(Track.OPUS, 0),
        packet(Track.OUTPUT, 1, keyframe=True),
        packet(Track.INPUT, 1),
        packet(Track.INPUT, 2, keyframe=True),
        packet(Track.OUTPUT, 2),
    ]
    for p in sent:
        broadcaster.publish(p)
    got = [await subscription.receive() for _ in range(4)]
    assert got == [sent[1], sent[2], sent[4], sent[5]]
    assert subscription.dropped == 2


async def test_a_slow_subscriber_starts_again_at_a_keyframe(
    broadcaster: Broadcaster, encoder: Encoder
) -> None:
    slow = broadcaster.subscribe({Track.OUTPUT}, capacity=3)
    quick = broadcaster.subscribe({Track.OUTPUT}, capacity=30)
    encoder.asked.clear()
    broadcaster.publish(packet(Track.OUTPUT, 0, keyframe=True))
    for pts in range(1, 5):
        broadcaster.publish(packet(Track.OUTPUT, pts))
    async with asyncio.timeout(5):
        await encoder.asked.wait()
    broadcaster.publish(packet(Track.OUTPUT, 5, keyframe=True))
    assert (await slow.receive()).pts == 5
    assert slow.dropped == 5
    assert [(await quick.receive()).pts for _ in range(6)] == list(range(6))
    assert quick.dropped == 0


async def test_receive_waits(broadcaster: Broadcaster) -> None:
    subscription = broadcaster.subscribe({Track.OPUS})
    receiving = asyncio.create_task(subscription.receive())
    await asyncio.sleep(0)
    assert not receiving.done()
    broadcaster.publish(packet(Track.OPUS, 7))
    assert (await receiving).pts == 7


async def test_the_end_comes_after_what_is_queued(broadcaster: Broadcaster) -> None:
    subscription = broadcaster.subscribe({Track.OPUS})
    broadcaster.publish(packet(Track.OPUS, 0))
    broadcaster.close()
    assert len(broadcaster) == 0
    assert (await subscription.receive()).pts == 0
    with pytest.raises(EndOfStream):
        await subscription.receive()


async def test_a_subscription_after_the_end_is_told_so(
    broadcaster: Broadcaster, encoder: Encoder
) -> None:
    assert not broadcaster.closed
    broadcaster.close()
    assert broadcaster.closed
    with pytest.raises(EndOfStream):
        await broadcaster.subscribe({Track.OUTPUT}).receive()
    assert encoder.requests == 0


async def test_leaving_ends_a_subscription_and_no_other(broadcaster: Broadcaster) -> None:
    leaving, staying = broadcaster.subscribe({Track.OPUS}), broadcaster.subscribe({Track.OPUS})
    broadcaster.unsubscribe(leaving)
    broadcaster.publish(packet(Track.OPUS, 0))
    with pytest.raises(EndOfStream):
        await leaving.receive()
    assert (await staying.receive()).pts == 0


async def test_many_requests_for_a_keyframe_become_two(encoder: Encoder) -> None:
    broadcaster = Broadcaster(encoder.request, keyframe_interval_s=0.05)
    for _ in range(100):
        broadcaster.request_keyframe()
    assert encoder.requests == 1  # the first is met at once ...
    encoder.asked.clear()
    async with asyncio.timeout(5):
        await encoder.asked.wait()
    assert encoder.requests == 2  # ... and the others by one that is put off, but not lost


async def test_closing_forgets_a_delayed_request(encoder: Encoder) -> None:
    other = Encoder()
    first, second = (Broadcaster(e.request, keyframe_interval_s=0.05) for e in (encoder, other))
    for broadcaster in (first, second):
        broadcaster.request_keyframe()
        broadcaster.request_keyframe()
    first.close()
    await until(lambda: other.requests == 2)  # it was due after the first one's
    assert encoder.requests == 1


class Recorder:
    """A subscriber that notes what is handed to it."""

    tracks = frozenset({Track.OUTPUT, Track.OPUS})

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.ended = False

    def offer(self, packet: Packet) -> None:
        self.packets.append(packet)

    def end(self) -> None:
        self.ended = True


async def test_a_subscriber_gets_every_packet_of_its_tracks_at_once(encoder: Encoder) -> None:
    told: list[frozenset[Track]] = []
    broadcaster, recorder = Broadcaster(encoder.request, told.append), Recorder()
    broadcaster.add(recorder)
    assert encoder.requests == 1
    sent = [packet(Track.OUTPUT, 0), packet(Track.INPUT, 0), packet(Track.OPUS, 0)]
    for p in sent:
        broadcaster.publish(p)
    assert recorder.packets == [sent[0], sent[2]]
    broadcaster.unsubscribe(recorder)
    assert recorder.ended
    assert told == [recorder.tracks, frozenset()]


async def test_a_subscriber_that_is_added_after_the_end_is_ended(broadcaster: Broadcaster) -> None:
    broadcaster.close()
    recorder = Recorder()
    broadcaster.add(recorder)
    assert recorder.ended
    assert len(broadcaster) == 0


async def test_a_keyframe_is_asked_for_of_the_tracks_that_need_one() -> None:
    """What a viewer lost costs a recording no keyframe, which has a rate to keep."""
    encoder = Encoder()
    broadcaster = Broadcaster(encoder.request, keyframe_interval_s=0.05)
    broadcaster.subscribe({Track.OUTPUT, Track.OPUS})
    assert encoder.tracks == {Track.OUTPUT}
    broadcaster.subscribe({Track.RECORD, Track.AAC})
    broadcaster.request_keyframe()
    async with asyncio.timeout(5):
        while encoder.requests < 2:
            encoder.asked.clear()
            await encoder.asked.wait()
    assert encoder.tracks == {Track.RECORD, Track.OUTPUT, Track.INPUT}, "both that were delayed"
    await asyncio.sleep(0.06)
    broadcaster.request_keyframe()
    assert encoder.tracks == {Track.OUTPUT, Track.INPUT}
