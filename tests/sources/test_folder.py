"""Folders of images as sources: every kind, checked before the work, with a file's audio."""

import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from peers.film import film, full_film

from streamsr.core.errors import InputError
from streamsr.core.frame import Frame
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.sources.folder import FolderSource

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 20, 30, 3), np.uint8)


def folder_of(folder: Path, suffix: str, count: int = 10) -> Path:
    folder.mkdir()
    for number in range(count):
        done, data = cv2.imencode(suffix, PIXELS[number])
        assert done
        (folder / f"f{number + 95}{suffix}").write_bytes(data.tobytes())
    return folder


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".png", "png"), (".jpg", "mjpeg"), (".jpeg", "mjpeg"), (".webp", "webp"), (".tif", "tiff")],
)
def test_a_folder_of_each_kind_is_read(tmp_path: Path, suffix: str, codec: str) -> None:
    source = FolderSource(folder_of(tmp_path / "in", suffix), Fraction(24_000, 1001), emit=print)
    info, *frames = source.items(threading.Event())
    assert isinstance(info, SourceInfo)
    assert (info.size, info.codec, info.frames) == ("30x20", codec, 10)
    assert info.names == tuple(f"f{n}{suffix}" for n in range(95, 105))
    for number, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert frame.time_s == pytest.approx(number * 1001 / 24_000)
        if suffix in (".png", ".tif"):
            np.testing.assert_array_equal(frame.planes[0], PIXELS[number][..., ::-1])


def test_everything_is_checked_before_the_first_frame(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", ".png")
    last = folder / "f104.png"
    last.write_bytes(last.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"f104\.png"):
        next(FolderSource(folder, emit=print).items(threading.Event()))


def test_the_audio_of_a_file_goes_under_the_frames(
    tmp_path: Path, clip: Callable[..., Path]
) -> None:
    film = clip(seconds=1.0)
    source = FolderSource(folder_of(tmp_path / "in", ".png"), Fraction(25), film, emit=print)
    info, *items = source.items(threading.Event())
    assert isinstance(info, SourceInfo)
    assert info.audio_codec == "aac"
    assert info.audio is not None
    assert info.audio.codec_context.sample_rate == 48_000
    with av.open(film) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    pieces = [item for item in items if isinstance(item, AudioFrame)]
    assert [bytes(piece.packet or b"") for piece in pieces] == packets
    assert [piece.time_s for piece in pieces] == pytest.approx(
        [n * 1024 / 48_000 for n in range(len(pieces))], abs=0.025
    )
    shown = -1.0
    for item in items:
        assert item.time_s >= shown - 0.04 if isinstance(item, AudioFrame) else True
        shown = item.time_s if isinstance(item, Frame) else shown


def heard_under(folder: Path, path: Path) -> tuple[SourceInfo, list[AudioFrame], FolderSource]:
    source = FolderSource(folder, Fraction(25), path, emit=print)
    info, *items = source.items(threading.Event())
    assert isinstance(info, SourceInfo)
    return info, [item for item in items if isinstance(item, AudioFrame)], source


def test_the_audio_of_joined_recordings_is_joined(tmp_path: Path) -> None:
    """Hours lie between their time stamps, and most packets of audio have none."""
    data = b""
    for hours in (0, 3):
        part = film(tmp_path / f"{hours}.mkv", [(n / 25, 0.04) for n in range(225)], [(8.0, 9.0)])
        with (
            av.open(str(part)) as read,
            av.open(str(tmp_path / "part.ts"), "w", options={"max_delay": "700000"}) as out,
        ):
            copies = [out.add_stream_from_template(s, opaque=True) for s in read.streams]
            for packet in read.demux():
                if packet.size and packet.dts is not None and packet.pts is not None:
                    later = round(hours * 3600 / packet.time_base)
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = copies[packet.stream.index]
                    out.mux(packet)
        data += (tmp_path / "part.ts").read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(data)
    _, pieces, source = heard_under(folder_of(tmp_path / "in", ".png"), joined)
    times = [piece.time_s for piece in pieces]
    assert len(times) >= 2 * 45
    assert times[0] == pytest.approx(8.0, abs=0.1)
    assert times[-1] == pytest.approx(18.0, abs=0.15)
    apart = sorted(b - a for a, b in pairwise(times))
    assert apart[0] > 0.01
    assert apart[-2] < 0.04
    assert source.jumps == 1


def test_the_default_audio_is_taken(tmp_path: Path) -> None:
    info, _, _ = heard_under(folder_of(tmp_path / "in", ".png"), full_film(tmp_path / "film.mkv"))
    assert info.audio_codec == "ac3"


@pytest.mark.parametrize("suffix", [".mp3", ".wav"])
def test_audio_needs_no_video_beside_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in{suffix}"
    with av.open(str(path), "w") as out:
        audio = out.add_stream("libmp3lame" if suffix == ".mp3" else "pcm_s16le", rate=48_000)
        audio.layout = "mono"
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
        samples.sample_rate = 48_000
        for packet in (*audio.encode(samples), *audio.encode(None)):
            out.mux(packet)
    _, pieces, _ = heard_under(folder_of(tmp_path / "in", ".png"), path)
    assert pieces[0].time_s == pytest.approx(0, abs=0.06)
    assert pieces[-1].time_s == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ["nowhere.mp4", "mute.mp4", "text.mp4"])
def test_audio_that_is_not_there_is_found_before_the_work(
    tmp_path: Path, clip: Callable[..., Path], name: str
) -> None:
    if name == "text.mp4":
        (tmp_path / name).write_text("no film")
    if name == "mute.mp4":
        (tmp_path / name).write_bytes(clip(seconds=0.2, audio=False).read_bytes())
    source = FolderSource(
        folder_of(tmp_path / "in", ".png"), audio_from=tmp_path / name, emit=print
    )
    with pytest.raises(InputError, match=name):
        next(source.items(threading.Event()))
