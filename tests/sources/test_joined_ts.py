"""Recordings with streams of other names, joined byte by byte and read in order."""

import io
import os
import random
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.core.frame import Frame
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.sources.files import FileSource
from streamsr.sources.joined_ts import JoinedTransportStream

PACKET = 188
FRAMES = 60


def recording(path: Path, number: int, codec: str = "libx264") -> bytes:
    """A transport stream whose streams and programme have names of their own."""
    names = {"mpegts_start_pid": 256 * number, "mpegts_pmt_start_pid": 4000 + number}
    options = {key: str(value) for key, value in (names | {"mpegts_service_id": number}).items()}
    with av.open(path, "w", options=options) as out:
        video = out.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("aac", rate=48_000, layout="mono")
        heard = 0
        for pts in range(FRAMES):
            image = av.VideoFrame(64, 48, "yuv420p")
            image.pts, image.time_base = pts, Fraction(1, 25)
            out.mux(video.encode(image))
            while heard * 1024 <= pts * 1920:
                samples = av.AudioFrame("fltp", "mono", 1024)
                samples.planes[0].update(bytes(4096))
                samples.sample_rate, samples.pts = 48_000, heard * 1024
                samples.time_base = Fraction(1, 48_000)
                out.mux(audio.encode(samples))
                heard += 1
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("recordings")
    return {
        "first": recording(folder / "1.ts", 1),
        "other": recording(folder / "2.ts", 2),
        "mpeg2": recording(folder / "3.ts", 3, "mpeg2video"),
        "same names, mpeg2": recording(folder / "4.ts", 1, "mpeg2video"),
    }


def read_of(tmp_path: Path, data: bytes, how: str) -> tuple[SourceInfo, list[Frame], int]:
    """What comes of a pipe or a file: how it is described, its frames, how many pieces of audio."""
    pipe = tmp_path / "pipe"
    pipe.unlink(missing_ok=True)
    if how == "file":
        pipe.write_bytes(data)
        return read_from(pipe)
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_bytes, args=[data])
    writing.start()
    result = read_from(pipe)
    writing.join()
    return result


def read_from(path: Path) -> tuple[SourceInfo, list[Frame], int]:
    items = list(FileSource(str(path), lambda event: None).items(threading.Event()))
    info = next(item for item in items if isinstance(item, SourceInfo))
    heard = sum(isinstance(item, AudioFrame) for item in items)
    return info, [item for item in items if isinstance(item, Frame)], heard


@pytest.mark.parametrize("how", ["pipe", "file"])
@pytest.mark.parametrize(
    ("names", "cut"),
    [
        (("first", "other"), 0),
        (("first", "other", "first"), 0),
        (("first", "other"), 77),  # bytes: a recorder was killed within a packet
    ],
)
def test_they_go_on(
    tmp_path: Path, recordings: dict[str, bytes], names: tuple[str, ...], cut: int, how: str
) -> None:
    alone = read_of(tmp_path, recordings["first"], how)[2]
    data = [recordings[name] for name in names]
    data[0] = data[0][: len(data[0]) - cut]
    info, frames, heard = read_of(tmp_path, b"".join(data), how)
    assert len(frames) == pytest.approx(FRAMES * len(names), abs=min(cut, 1))
    assert heard == pytest.approx(alone * len(names), abs=2)
    assert frames[-1].time_s == pytest.approx(2.4 * len(names), abs=0.15)
    assert info.carried is not None
    assert info.carried.left_out == []


@pytest.mark.parametrize("how", ["pipe", "file"])
@pytest.mark.parametrize("other", ["mpeg2", "same names, mpeg2"])
def test_video_of_another_codec_is_said(
    tmp_path: Path, recordings: dict[str, bytes], other: str, how: str
) -> None:
    info, frames, _ = read_of(tmp_path, recordings["first"] + recordings[other], how)
    assert len(frames) == FRAMES
    assert info.carried is not None
    (told,) = info.carried.left_out
    assert told == "a joined recording whose video is coded otherwise than the first one's"


def test_places_are_kept_when_it_is_sought_in(recordings: dict[str, bytes]) -> None:
    data = recordings["first"] + recordings["other"] + recordings["first"]
    in_order = all_of(data, 0)
    reader = JoinedTransportStream(io.BytesIO(data), [])
    reader.read(3000)
    for at in (len(data) - 50_000, 0, len(data) // 2, 100):
        reader.seek(at)
        piece = b""
        while len(piece) < 40_000 and (more := reader.read(3000)):
            piece += more
        assert reader.tell() == at + len(piece)
        if at in (0, 100):
            assert piece == in_order[at : at + len(piece)]


class Pieces:
    """Bytes in pieces of any size."""

    name = "pipe:"

    def __init__(self, data: bytes, seed: int) -> None:
        self._data, self._random = data, random.Random(seed)

    def read(self, size: int) -> bytes:
        count = min(size, self._random.randrange(1, 700))
        piece, self._data = self._data[:count], self._data[count:]
        return piece

    def close(self) -> None: ...


def all_of(data: bytes, seed: int) -> bytes:
    reader = JoinedTransportStream(Pieces(data, seed), [])

    def pieces() -> Iterator[bytes]:
        while piece := reader.read(500):
            yield piece

    return b"".join(pieces())


@pytest.mark.parametrize("seed", range(3))
def test_one_recording_passes_as_it_is(recordings: dict[str, bytes], seed: int) -> None:
    assert all_of(recordings["first"], seed) == recordings["first"]
    cut = recordings["first"][:-77]
    assert all_of(cut, seed) == cut


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=2000), seed=st.integers(0, 9))
def test_what_is_no_transport_stream_passes_as_it_is(data: bytes, seed: int) -> None:
    assert all_of(data, seed) == data


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_damage_takes_no_byte_away(recordings: dict[str, bytes], seed: int) -> None:
    damaged, chance = bytearray(recordings["first"] + recordings["other"]), random.Random(seed)
    for _ in range(50):
        damaged[chance.randrange(3 * PACKET, len(damaged))] = chance.randrange(256)
    assert len(all_of(bytes(damaged), seed)) == len(damaged)
