"""Fan-out: who gets which packet, and what happens to those who are slow."""

import asyncio
from fractions import Fraction

import pytest

from streamsr.core.packet import AUDIO, INPUT, OUTPUT, Packet
from streamsr.ipc import broadcaster as broadcaster_module
from streamsr.ipc.broadcaster import Broadcaster, EndOfStream


def packet(track: str, pts: int, keyframe: bool = False) -> Packet:
    return Packet(track, b"data", pts, Fraction(1, 25), keyframe or track == AUDIO)


class Encoder:
    """Counts the keyframes it is asked for."""

    def __init__(self) -> None:
        self.requests = 0
        self.asked = asyncio.Event()

    def request(self) -> None:
        self.requests += 1
        self.asked.set()


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def broadcaster(encoder: Encoder) -> Broadcaster:
    return Broadcaster(encoder.request)


async def test_every_subscriber_gets_its_tracks_in_order(broadcaster: Broadcaster) -> None:
    both = broadcaster.subscribe({OUTPUT, AUDIO})
    audio = broadcaster.subscribe({AUDIO})
    sent = [packet(OUTPUT, 0, keyframe=True), packet(AUDIO, 0), packet(OUTPUT, 1)]
    for p in sent:
        broadcaster.publish(p)
    assert [await both.receive() for _ in range(3)] == sent
    assert await audio.receive() == sent[1]
    assert len(broadcaster) == 2


async def test_each_video_track_begins_at_a_keyframe_of_its_own(broadcaster: Broadcaster) -> None:
    subscription = broadcaster.subscribe({INPUT, OUTPUT, AUDIO})
    sent = [
        packet(OUTPUT, 0),
        packet(AUDIO, 0),
        packet(OUTPUT, 1, keyframe=True),
        packet(INPUT, 1),
        packet(INPUT, 2, keyframe=True),
        packet(OUTPUT, 2),
    ]
    for p in sent:
        broadcaster.publish(p)
    got = [await subscription.receive() for _ in range(4)]
    assert got == [sent[1], sent[2], sent[4], sent[5]]
    assert subscription.dropped == 2


async def test_a_slow_subscriber_starts_again_at_a_keyframe(
    broadcaster: Broadcaster, encoder: Encoder
) -> None:
    slow = broadcaster.subscribe({OUTPUT}, capacity=3)
    quick = broadcaster.subscribe({OUTPUT}, capacity=30)
    encoder.asked.clear()
    broadcaster.publish(packet(OUTPUT, 0, keyframe=True))
    for pts in range(1, 5):
        broadcaster.publish(packet(OUTPUT, pts))
    async with asyncio.timeout(5):
        await encoder.asked.wait()
    broadcaster.publish(packet(OUTPUT, 5, keyframe=True))
    assert (await slow.receive()).pts == 5
    assert slow.dropped == 5
    assert [(await quick.receive()).pts for _ in range(6)] == list(range(6))
    assert quick.dropped == 0


async def test_receive_waits(broadcaster: Broadcaster) -> None:
    subscription = broadcaster.subscribe({AUDIO})
    receiving = asyncio.create_task(subscription.receive())
    await asyncio.sleep(0)
    assert not receiving.done()
    broadcaster.publish(packet(AUDIO, 7))
    assert (await receiving).pts == 7


async def test_the_end_comes_after_what_is_queued(broadcaster: Broadcaster) -> None:
    subscription = broadcaster.subscribe({AUDIO})
    broadcaster.publish(packet(AUDIO, 0))
    broadcaster.close()
    assert len(broadcaster) == 0
    assert (await subscription.receive()).pts == 0
    with pytest.raises(EndOfStream):
        await subscription.receive()


async def test_whoever_comes_after_the_end_is_told_so(
    broadcaster: Broadcaster, encoder: Encoder
) -> None:
    assert not broadcaster.closed
    broadcaster.close()
    assert broadcaster.closed
    with pytest.raises(EndOfStream):
        await broadcaster.subscribe({OUTPUT}).receive()
    assert encoder.requests == 0


async def test_leaving_ends_a_subscription_and_no_other(broadcaster: Broadcaster) -> None:
    leaving, staying = broadcaster.subscribe({AUDIO}), broadcaster.subscribe({AUDIO})
    broadcaster.unsubscribe(leaving)
    broadcaster.publish(packet(AUDIO, 0))
    with pytest.raises(EndOfStream):
        await leaving.receive()
    assert (await staying.receive()).pts == 0


async def test_many_requests_for_a_keyframe_become_two(
    broadcaster: Broadcaster, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcaster_module, "KEYFRAME_INTERVAL_S", 0.05)
    for _ in range(100):
        broadcaster.request_keyframe()
    assert encoder.requests == 1  # the first is met at once ...
    encoder.asked.clear()
    async with asyncio.timeout(5):
        await encoder.asked.wait()
    assert encoder.requests == 2  # ... and the others by one that is put off, but not lost


async def test_closing_forgets_a_request_that_waits(
    broadcaster: Broadcaster, encoder: Encoder
) -> None:
    broadcaster.request_keyframe()
    broadcaster.request_keyframe()
    broadcaster.close()
    assert broadcaster._asking is None
    assert encoder.requests == 1
