"""Files are opened, and closed whatever their decoders are doing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamsr.core.errors import InputError
from streamsr.sources.opening import file_items

CLOSED_MIDWAY = """
import sys, threading
import av
from streamsr.sources.containers import opened

for turn in range(40):
    with opened(sys.argv[1], threading.Event()) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        for number, packet in enumerate(container.demux(video)):
            ours = av.Packet(bytes(packet))
            ours.stream, ours.time_base = packet.stream, packet.time_base
            ours.pts, ours.dts = packet.pts, packet.dts
            video.decode(ours)
            if number == 4 + turn % 6:
                break
"""


def test_a_decoder_with_threads_is_closed_while_it_works(clip: Callable[..., Path]) -> None:
    """In a process of its own: one that hangs holds the interpreter."""
    path = str(clip(width=640, height=360, seconds=1, crf=1, b_frames=2))
    subprocess.run([sys.executable, "-c", CLOSED_MIDWAY, path], check=True, timeout=40)


def test_an_empty_file_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match=r"a\.mp4: cannot be opened: it is empty$"):
        next(file_items(tmp_path / "a.mp4"))
