"""RTP packets back in order, and whole frames alone."""

import random
import struct

import pytest

from streamsr.bitstream.rtp import PacketOrder, WholeFrameFilter, sequence_of

FIRST_SLICE, LATER_SLICE = b"\x02\x01\x80", b"\x02\x01\x00"
START, MIDDLE = b"\x62\x01\x81\x80", b"\x62\x01\x01\x55"  # of a fragmented slice


def frames(*payloads: list[bytes], first: int = 65_530, marked: bool = True) -> list[list[bytes]]:
    """A list of packets for each frame."""
    found, number = [], first
    for time, frame in enumerate(payloads):
        packets = []
        for place, payload in enumerate(frame):
            last = 0x80 if marked and place == len(frame) - 1 else 0
            head = struct.pack(">BBHII", 0x80, 96 | last, number & 0xFFFF, time * 3600, 7)
            packets.append(head + payload)
            number += 1
        found.append(packets)
    return found


def passed(packets: list[bytes]) -> list[bytes]:
    whole = WholeFrameFilter()
    return [done for packet in packets for done in whole.take(packet)]


STREAM = frames(*[[START, MIDDLE, MIDDLE], [FIRST_SLICE], [FIRST_SLICE, LATER_SLICE]] * 4)


def test_whole_frames_pass_as_they_are() -> None:
    packets = [packet for frame in STREAM for packet in frame]
    assert passed(packets) == packets


@pytest.mark.parametrize("lost", range(24))
def test_a_frame_that_lost_a_packet_is_left_out_and_no_other(lost: int) -> None:
    packets = [packet for frame in STREAM for packet in frame]
    missing = packets[lost]
    whole = [packet for frame in STREAM if missing not in frame for packet in frame]
    assert passed(packets[:lost] + packets[lost + 1 :]) == whole


def test_a_camera_that_marks_no_frame_is_a_frame_late() -> None:
    packets = [packet for frame in frames(*[[START, MIDDLE]] * 3, marked=False) for packet in frame]
    assert passed(packets) == packets[:4]


def test_packets_that_were_overtaken_are_put_back_in_order() -> None:
    packets = [packet for frame in STREAM for packet in frame]
    mixed = sorted(range(1, 24), key=lambda n: n + random.Random(n).random() * 3)
    order = PacketOrder()
    found = [p for n in (0, *mixed, 5) for p in order.take(packets[n], n / 1000)]
    assert found == packets
    assert not order.waits


def test_what_does_not_come_is_waited_for_shortly() -> None:
    packets = [packet for frame in STREAM for packet in frame]
    order = PacketOrder()
    assert order.take(packets[0], 0.0) == packets[:1]
    assert order.take(packets[2], 0.0) == []
    assert order.waits
    assert order.due(0.05) == []
    assert order.due(0.07) == packets[2:3]
    assert order.take(packets[1], 0.08) == [], "too late"
    assert [sequence_of(p) for p in order.take(packets[3], 0.08)] == [65_533]
