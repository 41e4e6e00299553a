"""Pieces that wait: in their order, none dropped, most of them outside memory."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import pytest

from streamsr.media.source import AudioFrame, Piece, Subtitle
from streamsr.media.tracks.piece_queue import PieceQueue
from streamsr.sources.files import FileSource


@pytest.fixture
def pieces(clip: Callable[..., Path]) -> list[Piece]:
    items = FileSource(str(clip(seconds=2.0)), lambda event: None).items(threading.Event())
    audios: list[Piece] = [item for item in items if isinstance(item, AudioFrame)]
    text = audios[5].packet
    return [*audios[:9], Subtitle(0.1, audios[5].track, text), *audios[9:]]


def told(piece: Piece) -> tuple[object, ...]:
    packet = piece.packet
    assert packet is not None
    facts = (packet.pts, packet.duration, packet.time_base, packet.stream, bytes(packet))
    return (replace(piece, packet=None), *facts)


@pytest.mark.parametrize("memory", [0, 2000, 10**6])
def test_pieces_come_as_they_went_wherever_they_waited(pieces: list[Piece], memory: int) -> None:
    queue = PieceQueue(memory)
    got: list[Piece] = []
    for number, piece in enumerate(pieces):
        assert not queue.send(piece)
        if number % 3 == 2:
            got.append(queue.receive())
    assert len(queue) == len(pieces) - len(got)
    while len(queue):
        got.append(queue.receive())
    queue.close()
    assert [*map(told, got)] == [*map(told, pieces)]


def test_a_piece_from_the_file_is_decoded_like_any_other(pieces: list[Piece]) -> None:
    queue = PieceQueue(0)
    audios = [piece for piece in pieces if isinstance(piece, AudioFrame)]
    for piece in audios:
        queue.send(piece)
    got = [queue.receive() for _ in audios]
    queue.close()
    samples = [sum(s.samples for s in p.decoded) for p in got if isinstance(p, AudioFrame)]
    assert sum(samples) >= 2 * 48_000


def test_samples_without_a_packet_wait_in_memory() -> None:
    queue = PieceQueue(0)
    samples = AudioFrame(0.0, "pcm_s16le", samples=av.AudioFrame("s16", "mono", 80))
    queue.send(samples)
    assert queue.receive() is samples
    with pytest.raises(IndexError):
        queue.receive()


def test_a_closed_queue_takes_nothing(pieces: list[Piece]) -> None:
    queue = PieceQueue(0)
    queue.send(pieces[0])
    queue.close()
    queue.send(pieces[1])
    assert len(queue) == 0
