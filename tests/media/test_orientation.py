"""Frames stand upright whatever a container or a stream says of them, in all eight ways."""

import struct
import subprocess
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from peers import RtspCamera, read_number

from streamsr.core.frame import Frame
from streamsr.media.orientation import UPRIGHT, Orientation, OrientationTracker
from streamsr.media.source import SourceInfo
from streamsr.sources.live import LiveSource
from streamsr.sources.opening import file_items

ONE = 1 << 16
MATRICES = {  # a, b, c, d of x' = ax + cy, y' = bx + dy
    "as it is": (1, 0, 0, 1),
    "mirrored": (-1, 0, 0, 1),
    "upside down and mirrored": (1, 0, 0, -1),
    "upside down": (-1, 0, 0, -1),
    "clockwise": (0, 1, -1, 0),
    "counter-clockwise": (0, -1, 1, 0),
    "rows for columns": (0, 1, 1, 0),
    "rows for columns, upside down": (0, -1, -1, 0),
}


def matrix(name: str) -> tuple[int, ...]:
    a, b, c, d = MATRICES[name]
    return (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


def turned(clip: Path, path: Path, name: str) -> Path:
    """The clip with a display matrix in its track's header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(clip.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    data[place : place + 36] = struct.pack(">9i", *matrix(name))
    path.write_bytes(data)
    return path


def described(path: Path) -> tuple[SourceInfo, list[Frame]]:
    items = list(file_items(path))
    (info,) = (item for item in items if isinstance(item, SourceInfo))
    return info, [item for item in items if isinstance(item, Frame)]


@pytest.mark.parametrize("name", MATRICES)
def test_a_display_matrix_puts_pixels_where_it_says(name: str) -> None:
    a, b, c, d = MATRICES[name]
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    upright = Orientation.of_matrix(struct.pack("=9i", *matrix(name))).upright(plane)
    for row, column in np.ndindex(*plane.shape):
        x, y = a * column + c * row, b * column + d * row
        x, y = x - (a + c < 0), y - (b + d < 0)  # a negative place counts from the other side
        assert upright[y, x] == plane[row, column]


@pytest.mark.parametrize("name", MATRICES)
def test_frames_stand_as_ffmpeg_shows_them(
    tmp_path: Path, clip: Callable[..., Path], name: str
) -> None:
    path = turned(
        clip(seconds=0.2, width=160, height=96, audio=False, aspect=Fraction(4, 3)),
        tmp_path / "turned.mp4",
        name,
    )
    info, frames = described(path)
    exchanged = "rows" in name or "clockwise" in name
    assert info.size == ("96x160" if exchanged else "160x96")
    assert info.sample_aspect == (Fraction(3, 4) if exchanged else Fraction(4, 3))
    shown = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        check=True,
        capture_output=True,
    ).stdout
    height, width = frames[0].planes[0].shape
    wanted = np.frombuffer(shown, np.uint8).reshape(-1, height, width).astype(int)
    assert len(wanted) == len(frames) == 5
    for frame, theirs in zip(frames, wanted, strict=True):
        ours = (frame.planes[0].astype(int) - 16) * 255 / 219
        assert np.abs(ours - theirs).mean() < 3


def ceiling(whole: Path, path: Path) -> Path:
    """The clip of a camera that hangs upside down and says so now and then, as FFmpeg has it."""
    insert = "h264_mp4toannexb,h264_metadata=display_orientation=insert:rotate=180"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", whole, "-c", "copy", "-bsf:v", insert, path], check=True
    )
    return path


@pytest.mark.parametrize("suffix", [".h264", ".ts", ".mp4"])
def test_what_is_said_now_and_then_holds(
    tmp_path: Path, clip: Callable[..., Path], suffix: str
) -> None:
    whole = clip(seconds=1.0, gop=5, audio=False)
    upright = described(whole)[1]
    frames = described(ceiling(whole, tmp_path / f"ceiling{suffix}"))[1]
    assert len(frames) == len(upright) == 25
    for frame, wanted in zip(frames, upright, strict=True):
        np.testing.assert_array_equal(frame.planes[0], wanted.planes[0][::-1, ::-1])


def test_a_camera_that_says_nothing_any_more_is_upright(
    tmp_path: Path, clip: Callable[..., Path]
) -> None:
    whole = clip(seconds=0.4, gop=5, audio=False)
    tracker = OrientationTracker(keyframes=2)
    seen = []
    for path in (ceiling(whole, tmp_path / "turned.h264"), whole):
        with av.open(path) as container:
            seen += [tracker.of(image) for image in container.decode(video=0)]
    assert seen == [Orientation(False, True, True)] * 15 + [UPRIGHT] * 5


def stating(whole: Path, path: Path) -> Path:
    """The clip with a display orientation of 180 degrees beside each keyframe (D.1.27)."""
    message = bytes.fromhex("00000001 06 2f 03 100009 80")
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", whole, "-c", "copy", "-f", "h264", "-"],
        check=True,
        capture_output=True,
    ).stdout
    start = b"\0\0\1\x65"  # of a keyframe's slice
    data = raw.replace(b"\0" + start, start).replace(start, message + b"\0" + start)
    remux = ["ffmpeg", "-v", "error", "-r", "25", "-f", "h264", "-i", "-", "-c", "copy", path]
    subprocess.run(remux, input=data, check=True)
    return path


def test_a_camera_that_hangs_upside_down(
    tmp_path: Path, clip: Callable[..., Path], rtsp_camera: Callable[..., RtspCamera]
) -> None:
    path = stating(clip(seconds=2.0, gop=10, audio=False), tmp_path / "hangs.mp4")
    stop, frames = threading.Event(), []
    for item in LiveSource(rtsp_camera(path).url, lambda event: None).items(stop):
        if isinstance(item, Frame):
            frames.append(item)
            if len(frames) == 25:
                stop.set()
    numbers = [read_number(frame.planes[0][::-1, ::-1]) for frame in frames]
    assert None not in numbers
    assert described(path)[0].size == "320x180"
    assert all(read_number(f.planes[0][::-1, ::-1]) is not None for f in described(path)[1])


@pytest.mark.parametrize("data", [b"", bytes(36), bytes(8)])
def test_a_matrix_that_says_nothing_turns_nothing(data: bytes) -> None:
    assert Orientation.of_matrix(data) == UPRIGHT
