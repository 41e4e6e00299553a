"""A viewer's track: what its queue drops when nothing takes from it."""

from fractions import Fraction

import pytest
from aiortc.mediastreams import MediaStreamError

from streamsr.core.packet import Packet, Track
from streamsr.serve.webrtc.peer import CAPACITY, PacketTrack


def packet(track: Track, number: int, *, keyframe: bool = False) -> Packet:
    return Packet(track, b"data", number, Fraction(1, 25), keyframe)


async def test_video_that_overflows_resumes_at_a_keyframe_which_is_asked_for() -> None:
    asked: list[str] = []
    track = PacketTrack(Track.OUTPUT, lambda: asked.append("keyframe"))
    track.queue.offer(packet(Track.OUTPUT, 0, keyframe=True))
    for number in range(1, CAPACITY):
        track.queue.offer(packet(Track.OUTPUT, number))
    assert (track.queue.dropped, asked) == (0, [])
    track.queue.offer(packet(Track.OUTPUT, CAPACITY))
    assert (track.queue.dropped, asked) == (CAPACITY + 1, ["keyframe"])
    track.queue.offer(packet(Track.OUTPUT, 100, keyframe=True))
    assert (await track.recv()).pts == 100
    track.stop()


async def test_audio_that_overflows_is_counted_and_asks_for_nothing() -> None:
    asked: list[str] = []
    track = PacketTrack(Track.OPUS, lambda: asked.append("keyframe"))
    for number in range(CAPACITY + 1):
        track.queue.offer(packet(Track.OPUS, number))
    assert (track.queue.dropped, asked) == (CAPACITY, [])
    assert (await track.recv()).pts == CAPACITY
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
