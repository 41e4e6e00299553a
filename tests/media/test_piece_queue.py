"""Pieces that wait: in their order, none dropped, most of them outside memory."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

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
    marks = [(mark.data_type, bytes(mark)) for mark in packet.iter_sidedata()]
    return (replace(piece, packet=None), *facts, packet.is_keyframe, marks)


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
    assert any(told(piece)[-1] for piece in pieces)  # the priming of AAC
    assert all(told(piece)[-2] for piece in pieces)


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


def test_samples_overtake_no_packets(pieces: list[Piece]) -> None:
    """Of one camera's recording that a file joins to another's, say."""
    queue = PieceQueue(0)
    samples = AudioFrame(0.0, "pcm_s16le", samples=av.AudioFrame("s16", "mono", 80))
    for piece in (pieces[0], samples, pieces[1]):
        queue.send(piece)
    assert told(queue.receive()) == told(pieces[0])
    assert queue.receive() is samples
    assert told(queue.receive()) == told(pieces[1])
    queue.close()


def test_what_was_read_takes_no_room(
    pieces: list[Piece], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While something always waits, as under a slow network."""
    made: list[IO[bytes]] = []

    def temporary() -> IO[bytes]:
        made.append((tmp_path / str(len(made))).open("w+b"))
        return made[-1]

    monkeypatch.setattr("streamsr.media.tracks.piece_queue.TemporaryFile", temporary)
    queue = PieceQueue(0, file_bytes=20_000)
    largest = 0
    queue.send(pieces[0])
    for number in range(1000):
        queue.send(pieces[number % len(pieces)])
        queue.receive()
        largest = max(largest, sum(f.seek(0, 2) for f in made if not f.closed))
    assert len(made) > 5
    assert largest < 45_000
    queue.close()
    assert all(f.closed for f in made)


def test_a_closed_queue_takes_nothing(pieces: list[Piece]) -> None:
    queue = PieceQueue(0)
    queue.send(pieces[0])
    queue.close()
    queue.send(pieces[1])
    assert len(queue) == 0
