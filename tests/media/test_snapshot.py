"""A picture of a keyframe: its colours are those of the video, whatever its matrix and range."""

import asyncio
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.core.errors import StreamsrError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings
from streamsr.ipc.broadcaster import Broadcaster
from streamsr.media.encoder import VideoEncoder
from streamsr.media.pixels import planes_of
from streamsr.media.snapshot import jpeg_of, snapshot

PATCH = 32  # samples on a side of one flat colour
SIZE = 8 * PATCH
BASE = Fraction(1, 90_000)
TAGS = [
    ColourTags(matrix, primaries, primaries, full)
    for matrix, primaries in ((1, 1), (5, 5), (6, 6), (9, 9))
    for full in (False, True)
]


def patches(tags: ColourTags) -> Frame:
    """Flat patches of random colours, all of which exist as R'G'B'."""
    red, green, blue = np.random.default_rng(1).random((3, 8, 8))
    kr, kb = tags.kr_kb
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    scale, offset, chroma = (255, 0, 255) if tags.full_range else (219, 16, 224)
    planes = (offset + scale * y, 128 + chroma * u, 128 + chroma * v)
    sizes = (PATCH, PATCH // 2, PATCH // 2)
    return Frame(
        tuple(
            np.round(plane).clip(0, 255).astype(np.uint8).repeat(n, 0).repeat(n, 1)
            for plane, n in zip(planes, sizes, strict=True)
        ),
        tags,
        pts=0,
        time_base=BASE,
    )


def keyframe(frame: Frame) -> Packet:
    encoder = VideoEncoder(EncoderSettings(crf=4), frame, Fraction(25), Fraction(1))
    (packet,) = encoder.encode(frame)
    return Packet(Track.OUTPUT, bytes(packet), 0, BASE, keyframe=True)


def decoded(codec: str, data: bytes) -> av.VideoFrame:
    decoder = av.CodecContext.create(codec, "r")
    (picture,) = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    return picture


def centres(picture: av.VideoFrame) -> NDArray[np.float64]:
    """Y, Cb, Cr of the middle of each patch: (3, 8, 8)."""
    sides = (PATCH, PATCH // 2, PATCH // 2)
    values = []
    for plane, n in zip(planes_of(picture), sides, strict=True):
        blocks = plane.reshape(8, n, 8, n)[:, n // 4 : -n // 4, :, n // 4 : -n // 4]
        values.append(blocks.mean(axis=(1, 3)))
    return np.stack(values)


def as_jfif(values: NDArray[np.float64], tags: ColourTags) -> NDArray[np.float64]:
    """What Y'CbCr of ``tags`` is in BT.601, full range (JFIF 1.02)."""
    scale, offset, chroma = (255, 0, 255) if tags.full_range else (219, 16, 224)
    y, u, v = (values[0] - offset) / scale, (values[1] - 128) / chroma, (values[2] - 128) / chroma
    kr, kb = tags.kr_kb
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - luma) / 1.772, (red - luma) / 1.402
    return 255 * np.stack([luma, cb, cr]) + np.array([0, 128, 128]).reshape(3, 1, 1)


@pytest.mark.parametrize("tags", TAGS, ids=lambda t: f"matrix{t.matrix}-full{t.full_range:d}")
def test_the_colours_are_those_of_the_video(tags: ColourTags) -> None:
    packet = keyframe(patches(tags))
    picture = decoded("mjpeg", jpeg_of(packet, quality=2))
    assert picture.format.name == "yuvj420p"
    expected = as_jfif(centres(decoded("h264", packet.data)), tags)
    assert np.abs(centres(picture) - expected).max() <= 2


def test_other_tags_would_show() -> None:
    """The test above can fail: taken for BT.601 or for full range, the colours are far off."""
    values = centres(decoded("h264", keyframe(patches(TAGS[0])).data))
    right = as_jfif(values, TAGS[0])
    for wrong in (ColourTags(6, 6, 6), ColourTags(1, 1, 1, full_range=True)):
        assert np.abs(as_jfif(values, wrong) - right).max() > 10


@pytest.mark.parametrize("size", [(64, 36), (130, 98), (16, 16)])
def test_any_size(size: tuple[int, int]) -> None:
    width, height = size
    planes = tuple(
        np.full(s, 90, np.uint8) for s in ((height, width), *[(height // 2, width // 2)] * 2)
    )
    picture = decoded("mjpeg", jpeg_of(keyframe(Frame(planes, ColourTags(), 0, BASE))))
    assert (picture.width, picture.height) == size


def test_better_quality_is_larger() -> None:
    planes = [np.random.default_rng(n).integers(0, 255, s, np.uint8)
              for n, s in enumerate(((64, 64), (32, 32), (32, 32)))]  # fmt: skip
    packet = keyframe(Frame(tuple(planes), ColourTags(), 0, BASE))
    sizes = [len(jpeg_of(packet, quality)) for quality in (2, 5, 20)]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("data", [b"", b"\0\0\0\1", bytes(100), b"\0\0\1\x65" + b"x" * 50])
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(StreamsrError, match="cannot be made a picture"):
        jpeg_of(Packet(Track.OUTPUT, data, 0, BASE, keyframe=True))


def test_keyframes_cut_short_do_no_harm() -> None:
    whole = keyframe(patches(TAGS[0]))
    for length in range(1, len(whole.data), 97):
        packet = Packet(Track.OUTPUT, whole.data[:length], 0, BASE, keyframe=True)
        with suppress(StreamsrError):
            assert jpeg_of(packet).startswith(b"\xff\xd8")


async def test_a_keyframe_is_asked_for_and_taken() -> None:
    asked = asyncio.Event()
    broadcaster = Broadcaster(asked.set)
    packet = keyframe(patches(TAGS[0]))
    taking = asyncio.create_task(snapshot(broadcaster))
    await asked.wait()
    broadcaster.publish(Packet(Track.OUTPUT, b"no keyframe", 0, BASE, keyframe=False))
    broadcaster.publish(packet)
    assert await taking == jpeg_of(packet)
    assert len(broadcaster) == 0


async def test_no_keyframe_comes() -> None:
    broadcaster = Broadcaster(lambda: None)
    with pytest.raises(TimeoutError):
        await snapshot(broadcaster, timeout_s=0.05)
    assert len(broadcaster) == 0
    broadcaster.close()
    with pytest.raises(StreamsrError, match="the stream has ended"):
        await snapshot(broadcaster)
