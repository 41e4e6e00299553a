"""Pipes whose reader is late, slow or gone: nothing waits for it longer than it may."""

import os
import threading
from pathlib import Path
from time import monotonic

import pytest

from streamsr.media.pipes import PipeWriter

MORE = bytes(200_000)  # than a pipe holds


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_slow_reader_gets_all_of_it(pipe: Path) -> None:
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    threading.Timer(0.3, reading.start).start()
    writer = PipeWriter.open(pipe, threading.Event())
    for part in range(5):
        assert writer.write(bytes([part]) * 50_000) == 50_000
    writer.close()
    reading.join(10)
    assert got == [b"".join(bytes([part]) * 50_000 for part in range(5))]
    assert not writer.cut


def test_a_reader_that_stalls_is_given_up_once(pipe: Path) -> None:
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = PipeWriter.open(pipe, threading.Event(), 0.3)
    with pytest.raises(OSError, match=r"its reader took nothing for 0\.3 s"):
        writer.write(MORE)
    begun_s = monotonic()
    writer.write(MORE)
    writer.close()
    os.close(reader)
    assert monotonic() - begun_s < 0.1, "what is written at the end waits no more"
    assert writer.cut


def test_a_stop_is_not_waited_for(pipe: Path) -> None:
    reader, stop = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), threading.Event()
    writer = PipeWriter.open(pipe, stop)
    threading.Timer(0.2, stop.set).start()
    assert writer.write(MORE) == len(MORE)
    assert writer.cut
    got = os.read(reader, len(MORE))
    writer.write(b"more")
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    assert set(got) == {0}
    writer.close()
    os.close(reader)


def test_no_reader_comes(pipe: Path) -> None:
    stop = threading.Event()
    with pytest.raises(OSError, match="no program reads from it"):
        PipeWriter.open(pipe, stop, 0.2)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(OSError, match="no program reads from it"):
        PipeWriter.open(pipe, stop)
