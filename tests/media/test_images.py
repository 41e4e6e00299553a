"""Folders of images: every kind of PNG in, exact R'G'B' out, and nothing half written."""

import struct
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.core.errors import InputError, OutputError
from streamsr.core.frame import ColourTags, Frame
from streamsr.media.addresses import folder_images
from streamsr.media.images import ImageWriter, image_frames, read_image

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def rows_of(samples: NDArray[np.integer], depth: int) -> bytes:
    """Unfiltered rows of (h, w, channels) samples, as PNG packs them."""
    rows = b""
    for row in samples.reshape(len(samples), -1):
        if depth == 16:
            packed = row.astype(">u2").tobytes()
        else:
            bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :]
            packed = np.packbits(bits.reshape(-1)).tobytes()
        rows += b"\0" + packed
    return rows


def png(
    samples: NDArray[np.integer],
    kind: int,
    depth: int = 8,
    *,
    palette: NDArray[np.uint8] | None = None,
    transparent: bytes = b"",
    interlaced: bool = False,
    pixels: bytes | None = None,
) -> bytes:
    """A PNG written by the letter of its standard, with no code of streamsr's."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
        passes += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        parts = [samples[top::down, left::right] for top, left, down, right in passes]
        raw = b"".join(rows_of(part, depth) for part in parts if part.size)
    else:
        raw = rows_of(samples, depth)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if palette is not None:
        data += chunk(b"PLTE", palette.tobytes())
    if transparent:
        data += chunk(b"tRNS", transparent)
    compressed = zlib.compress(raw) if pixels is None else pixels
    for start in range(0, len(compressed), 1000):
        data += chunk(b"IDAT", compressed[start : start + 1000])
    return data + chunk(b"IEND", b"")


def some(kind: int, depth: int, height: int = 19, width: int = 23) -> NDArray[np.integer]:
    random = np.random.default_rng(depth * 10 + kind)
    return random.integers(0, 1 << depth, (height, width, CHANNELS[kind]), dtype=np.uint16)


def expected(samples: NDArray[np.integer], kind: int, depth: int) -> NDArray[np.uint8]:
    colours = samples[..., :3] if kind in (RGB, RGBA) else samples[..., :1].repeat(3, 2)
    return np.floor(colours * 255.0 / ((1 << depth) - 1) + 0.5).astype(np.uint8)


def rgb_frame(height: int = 12, width: int = 16, seed: int = 0, pts: int = 0) -> Frame:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Frame((pixels,), ColourTags(0, 1, 13, True), pts, Fraction(1, 25))


KINDS = [
    *((GREY, depth) for depth in (1, 2, 4, 8, 16)),
    *((kind, depth) for kind in (RGB, GREY_ALPHA, RGBA) for depth in (8, 16)),
]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "depth"), KINDS)
def test_every_kind_is_read(tmp_path: Path, kind: int, depth: int, interlaced: bool) -> None:
    samples = some(kind, depth)
    path = tmp_path / "a.png"
    path.write_bytes(png(samples, kind, depth, interlaced=interlaced))
    frame = read_image(path)
    assert frame.is_rgb
    assert frame.colour == ColourTags(matrix=0, primaries=1, transfer=13, full_range=True)
    np.testing.assert_array_equal(frame.planes[0], expected(samples, kind, depth))


@pytest.mark.parametrize("transparent", [b"", b"\0\x80\xff"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_are_read(tmp_path: Path, depth: int, transparent: bytes) -> None:
    random = np.random.default_rng(depth)
    colours = random.integers(0, 256, (1 << depth, 3), dtype=np.uint8)
    samples = some(PALETTE, depth)
    path = tmp_path / "a.png"
    alpha = transparent[: 1 << depth]
    path.write_bytes(png(samples, PALETTE, depth, palette=colours, transparent=alpha))
    np.testing.assert_array_equal(read_image(path).planes[0], colours[samples[..., 0]])


@pytest.mark.parametrize(("kind", "key"), [(GREY, b"\0\x07"), (RGB, b"\0\1\0\2\0\3")])
def test_a_transparent_colour_changes_nothing(tmp_path: Path, kind: int, key: bytes) -> None:
    samples = some(kind, 8)
    path = tmp_path / "a.png"
    path.write_bytes(png(samples, kind, transparent=key))
    np.testing.assert_array_equal(read_image(path).planes[0], expected(samples, kind, 8))


def test_names_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    wanted = ["frame1.png", "frame2.PNG", "Frame10.png", "frame10b.png", "shot2_9.png", "x.Png"]
    for name in [
        *reversed(wanted),
        ".frame3.jpg",
        ".frame4.png",
        "notes.txt",
        "frame5.png.partial",
    ]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert folder_images(tmp_path) == wanted


def test_frames_carry_their_time(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"{number}.png").write_bytes(png(some(RGB, 8) // number, RGB))
    frames = list(image_frames(tmp_path, Fraction(30000, 1001)))
    assert [frame.pts for frame in frames] == [0, 1, 2]
    assert {frame.time_base for frame in frames} == {Fraction(1001, 30000)}
    for frame, number in zip(frames, (1, 2, 10), strict=True):
        np.testing.assert_array_equal(frame.planes[0], some(RGB, 8) // number)
    assert next(image_frames(tmp_path)).time_base == Fraction(1, 25)


def test_a_folder_without_frames_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match="no PNG"):
        next(image_frames(tmp_path))
    with pytest.raises(InputError, match="elsewhere"):
        next(image_frames(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match=r"notes\.txt"):
        folder_images(tmp_path / "notes.txt")


def test_another_size_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(some(RGB, 8), RGB))
    (tmp_path / "2.png").write_bytes(png(some(RGB, 8, 10, 23), RGB))
    frames = image_frames(tmp_path)
    next(frames)
    with pytest.raises(InputError, match=r"2\.png: got 23x10.*23x19 as in 1\.png"):
        next(frames)


def damaged() -> dict[str, bytes]:
    whole = png(some(RGB, 8), RGB)
    flipped = bytearray(whole)
    flipped[300] ^= 1
    compressed = zlib.compress(rows_of(some(RGB, 8), 8))
    bad = bytearray(compressed)
    bad[100] ^= 0x55
    return {
        "empty": b"",
        "a JPEG": b"\xff\xd8\xff\xe0" + whole,
        "cut": whole[: len(whole) // 2],
        "no end": whole[:-12],
        "flipped": bytes(flipped),
        "pixels cut": png(some(RGB, 8), RGB, pixels=compressed[:500]),
        "pixels damaged": png(some(RGB, 8), RGB, pixels=bytes(bad)),
        "too few rows": png(some(RGB, 8, 40), RGB, pixels=compressed),
        "no pixels": png(some(RGB, 8), RGB, pixels=b""),
        "no width": png(some(RGB, 8, 5, 0), RGB),
        "no header": b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
        "too large": png(some(RGB, 8), RGB).replace(
            chunk(b"IHDR", struct.pack(">IIBBBBB", 23, 19, 8, 2, 0, 0, 0)),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 2, 0, 0, 0)),
        ),
        "an unknown kind": png(some(RGB, 8), 5),
    }


@pytest.mark.parametrize("how", damaged())
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, how: str) -> None:
    path = tmp_path / "bad 7.png"
    path.write_bytes(damaged()[how])
    with pytest.raises(InputError, match=r"bad 7\.png"):
        read_image(path)


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = png(some(RGB, 8), RGB)
    path = tmp_path / "cut.png"
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.png"):
            read_image(path)


def test_rgb_goes_through_unchanged(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path / "new" / "out")
    frames = [rgb_frame(seed=1), rgb_frame(seed=2), rgb_frame(9, 11, seed=3)]
    for number, frame in enumerate(frames):
        writer.write(frame, f"frame_{number:06d}.png")
    assert folder_images(writer.folder) == [f"frame_{n:06d}.png" for n in range(3)]
    assert len(list(writer.folder.iterdir())) == 3
    for number, frame in enumerate(frames):
        written = read_image(writer.folder / f"frame_{number:06d}.png")
        np.testing.assert_array_equal(written.planes[0], frame.planes[0])


def keys(x: float) -> float:
    """Keys' cubic convolution kernel, a = -0.5, by its definition."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def doubling(length: int, wanted: int, offset: float) -> NDArray[np.float64]:
    """Matrix of an axis: luma sample i lies at chroma coordinate i / 2 - offset."""
    matrix = np.zeros((wanted, length))
    for i in range(wanted):
        place = i / 2 - offset
        for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            inside = tap % (2 * length)
            matrix[i, min(inside, 2 * length - 1 - inside)] += keys(place - tap)
    return matrix


LUMA_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


@pytest.mark.parametrize("siting", [1, 2])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
@pytest.mark.parametrize("size", [(75, 58), (4, 3), (1, 1)])
def test_video_is_converted_exactly(
    tmp_path: Path, matrix: int, full: bool, siting: int, size: tuple[int, int]
) -> None:
    height, width = size
    random = np.random.default_rng(matrix)
    luma = random.integers(0, 256, (height, width), dtype=np.uint8)
    chroma = random.integers(0, 256, (2, -(-height // 2), -(-width // 2)), dtype=np.uint8)
    tags = ColourTags(matrix, matrix, matrix, full, siting)
    writer = ImageWriter(tmp_path)
    writer.write(Frame((luma, chroma[0], chroma[1]), tags, 0, Fraction(1, 25)), "a.png")

    rows = doubling(chroma.shape[1], height, 0.25)
    columns = doubling(chroma.shape[2], width, 0 if siting == 1 else 0.25)
    black, luma_span, chroma_span = (0, 255, 255) if full else (16, 219, 224)
    y = (luma.astype(float) - black) / luma_span
    cb, cr = (rows @ (plane - 128.0) @ columns.T / chroma_span for plane in chroma)
    kr, kb = LUMA_WEIGHTS[matrix]
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    exact = np.clip(np.stack([red, green, blue], -1), 0, 1) * 255
    error = np.abs(read_image(tmp_path / "a.png").planes[0] - exact)
    assert error.max() <= 0.501


def test_frames_are_not_overwritten_unasked(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path)
    writer.write(rgb_frame(seed=1), "a.png")
    writer.write(rgb_frame(seed=2), "b.PNG")
    with pytest.raises(OutputError, match=r"2 PNG files.*output\.overwrite = true"):
        ImageWriter(tmp_path)
    again = ImageWriter(tmp_path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2, "nothing goes before there is something new"
    again.write(rgb_frame(seed=3), "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png").planes[0], rgb_frame(seed=3).planes[0]
    )


def test_a_folder_with_other_things_is_fine(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    ImageWriter(tmp_path).write(rgb_frame(), "a.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "notes.txt"]


def test_what_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        ImageWriter(tmp_path / "file")
    with pytest.raises(OutputError, match="file"):
        ImageWriter(tmp_path / "file" / "below")
    writer = ImageWriter(tmp_path / "out")
    (tmp_path / "out").rmdir()
    with pytest.raises(OutputError, match=r"a\.png"):
        writer.write(rgb_frame(), "a.png")


@pytest.mark.parametrize("name", ["../a.png", "sub/a.png", "a.jpg", "/tmp/a.png", ""])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError):
        ImageWriter(tmp_path / "out").write(rgb_frame(), name)


def test_a_failed_write_leaves_the_old_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ImageWriter(tmp_path)
    writer.write(rgb_frame(seed=1), "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def full_disk(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        writer.write(rgb_frame(seed=2), "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_frame_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    replace = Path.replace

    def watch(path: Path, target: Path) -> Path:
        seen.append((image_names_or_none(tmp_path), path.parent == target.parent))
        read_image_of(path)
        return replace(path, target)

    def image_names_or_none(folder: Path) -> list[str]:
        return [p.name for p in folder.iterdir() if p.suffix == ".png"]

    def read_image_of(path: Path) -> None:
        np.testing.assert_array_equal(read_image(path).planes[0], rgb_frame().planes[0])

    monkeypatch.setattr(Path, "replace", watch)
    ImageWriter(tmp_path).write(rgb_frame(), "a.png")
    assert seen == [([], True)]


def test_times_of_a_long_folder_rise(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path)
    for number in range(12):
        writer.write(rgb_frame(4, 4, seed=number), f"{number}.png")
    frames = list(image_frames(tmp_path))
    assert all(a.time_s < b.time_s for a, b in pairwise(frames))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.planes[0], rgb_frame(4, 4, seed=number).planes[0])
