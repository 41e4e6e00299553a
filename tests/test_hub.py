"""Fan-out: who gets which packet, and what happens to those who are slow."""

import asyncio
from fractions import Fraction

import pytest

from streamsr import hub as hub_module
from streamsr.hub import EndOfStream, Hub
from streamsr.packet import AUDIO, INPUT, OUTPUT, Packet


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
def hub(encoder: Encoder) -> Hub:
    return Hub(encoder.request)


async def test_every_subscriber_gets_its_tracks_in_order(hub: Hub) -> None:
    both = hub.subscribe({OUTPUT, AUDIO})
    sound = hub.subscribe({AUDIO})
    sent = [packet(OUTPUT, 0, keyframe=True), packet(AUDIO, 0), packet(OUTPUT, 1)]
    for p in sent:
        hub.publish(p)
    assert [await both.receive() for _ in range(3)] == sent
    assert await sound.receive() == sent[1]
    assert len(hub) == 2


async def test_each_video_track_begins_at_a_keyframe_of_its_own(hub: Hub) -> None:
    subscription = hub.subscribe({INPUT, OUTPUT, AUDIO})
    sent = [
        packet(OUTPUT, 0),
        packet(AUDIO, 0),
        packet(OUTPUT, 1, keyframe=True),
        packet(INPUT, 1),
        packet(INPUT, 2, keyframe=True),
        packet(OUTPUT, 2),
    ]
    for p in sent:
        hub.publish(p)
    got = [await subscription.receive() for _ in range(4)]
    assert got == [sent[1], sent[2], sent[4], sent[5]]
    assert subscription.dropped == 2


async def test_a_slow_subscriber_starts_again_at_a_keyframe(hub: Hub, encoder: Encoder) -> None:
    slow = hub.subscribe({OUTPUT}, capacity=3)
    quick = hub.subscribe({OUTPUT}, capacity=30)
    encoder.asked.clear()
    hub.publish(packet(OUTPUT, 0, keyframe=True))
    for pts in range(1, 5):
        hub.publish(packet(OUTPUT, pts))
    async with asyncio.timeout(5):
        await encoder.asked.wait()
    hub.publish(packet(OUTPUT, 5, keyframe=True))
    assert (await slow.receive()).pts == 5
    assert slow.dropped == 5
    assert [(await quick.receive()).pts for _ in range(6)] == list(range(6))
    assert quick.dropped == 0


async def test_receive_waits(hub: Hub) -> None:
    subscription = hub.subscribe({AUDIO})
    receiving = asyncio.create_task(subscription.receive())
    await asyncio.sleep(0)
    assert not receiving.done()
    hub.publish(packet(AUDIO, 7))
    assert (await receiving).pts == 7


async def test_the_end_comes_after_what_is_queued(hub: Hub) -> None:
    subscription = hub.subscribe({AUDIO})
    hub.publish(packet(AUDIO, 0))
    hub.close()
    assert len(hub) == 0
    assert (await subscription.receive()).pts == 0
    with pytest.raises(EndOfStream):
        await subscription.receive()


async def test_whoever_comes_after_the_end_is_told_so(hub: Hub, encoder: Encoder) -> None:
    assert not hub.closed
    hub.close()
    assert hub.closed
    with pytest.raises(EndOfStream):
        await hub.subscribe({OUTPUT}).receive()
    assert encoder.requests == 0


async def test_leaving_ends_a_subscription_and_no_other(hub: Hub) -> None:
    leaving, staying = hub.subscribe({AUDIO}), hub.subscribe({AUDIO})
    hub.unsubscribe(leaving)
    hub.publish(packet(AUDIO, 0))
    with pytest.raises(EndOfStream):
        await leaving.receive()
    assert (await staying.receive()).pts == 0


async def test_many_requests_for_a_keyframe_become_two(
    hub: Hub, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "KEYFRAME_INTERVAL_S", 0.05)
    for _ in range(100):
        hub.request_keyframe()
    assert encoder.requests == 1  # the first is met at once ...
    encoder.asked.clear()
    async with asyncio.timeout(5):
        await encoder.asked.wait()
    assert encoder.requests == 2  # ... and the others by one that is put off, but not lost


async def test_closing_forgets_a_request_that_waits(hub: Hub, encoder: Encoder) -> None:
    hub.request_keyframe()
    hub.request_keyframe()
    hub.close()
    assert hub._asking is None
    assert encoder.requests == 1
