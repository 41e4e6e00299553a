"""Headers of images: what they say is what decoding finds, and what is not whole is refused."""

import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.core.errors import InputError
from streamsr.media.images import read_samples
from streamsr.sources.image_headers import ImageHeader, checked_images, image_header

NOISE = np.random.default_rng(4).integers(0, 65536, (37, 50, 4), np.uint16)
SAMPLES = {
    "grey": NOISE[..., 0],
    "colour": NOISE[..., :3],
    "alpha": NOISE,
}
LOSSLESS_WEBP = [cv2.IMWRITE_WEBP_QUALITY, 101]
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0"


def eight(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return (samples >> 8).astype(np.uint8)


def image(suffix: str, what: str, bits: int = 8, *options: int) -> bytes:
    samples = SAMPLES[what] if bits == 16 else eight(SAMPLES[what])
    done, data = cv2.imencode(suffix, samples, options)
    assert done
    return data.tobytes()


KINDS = [
    *[(".png", what, bits) for what in SAMPLES for bits in (8, 16)],
    *[(".tif", what, bits) for what in SAMPLES for bits in (8, 16)],
    (".webp", "colour", 8),
    (".webp", "alpha", 8),
    (".jpg", "grey", 8),
    (".jpg", "colour", 8),
]


@pytest.mark.parametrize(("suffix", "what", "bits"), KINDS)
def test_a_header_says_what_decoding_finds(
    tmp_path: Path, suffix: str, what: str, bits: int
) -> None:
    path = tmp_path / f"a{suffix}"
    lossy = (cv2.IMWRITE_WEBP_QUALITY, 80) if suffix == ".webp" else ()
    path.write_bytes(image(suffix, what, bits, *lossy))
    header = image_header(path)
    assert header == ImageHeader(50, 37, bits, alpha=what == "alpha", grey=what == "grey")
    found = read_samples(path, alpha=header.alpha)
    assert found.colour.shape == (37, 50, 3)
    assert found.colour.dtype == (np.uint16 if bits == 16 else np.uint8)
    assert (found.alpha is not None) == header.alpha
    if suffix in (".png", ".tif"):
        wanted = SAMPLES[what] if bits == 16 else eight(SAMPLES[what])
        green = wanted if what == "grey" else wanted[..., 1]
        np.testing.assert_array_equal(found.colour[..., 1], green)
        if found.alpha is not None:
            np.testing.assert_array_equal(found.alpha, wanted[..., 3])


@pytest.mark.parametrize("what", ["colour", "alpha"])
def test_webp_without_loss_is_known(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.webp"
    path.write_bytes(image(".webp", what, 8, *LOSSLESS_WEBP))
    assert image_header(path).lossless
    path.write_bytes(image(".webp", what, 8, cv2.IMWRITE_WEBP_QUALITY, 80))
    assert not image_header(path).lossless


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_described_upright(tmp_path: Path, orientation: int) -> None:
    plain, exif = image(".jpg", "colour"), EXIF % orientation
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif
    path = tmp_path / "a.jpeg"
    path.write_bytes(plain[:2] + segment + plain[2:])
    header = image_header(path)
    assert read_samples(path).colour.shape[:2] == (header.height, header.width)
    assert (header.width == 37) == (orientation > 4)


def test_what_a_camera_puts_behind_an_image_is_no_fault(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png", ".webp"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(image(suffix, "colour") + b"trailer" * 100)
        assert image_header(path).width == 50


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_every_cut_is_refused_or_decodes(tmp_path: Path, suffix: str) -> None:
    whole, path = image(suffix, "colour"), tmp_path / f"cut{suffix}"
    for length in range(0, len(whole) - 1, 61):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"cut{suffix}: cannot be read as"):
            image_header(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_damaged_headers_are_refused_by_name_or_read(tmp_path: Path, suffix: str) -> None:
    whole, path = image(suffix, "alpha" if suffix != ".jpg" else "colour"), tmp_path / f"x{suffix}"
    random = np.random.default_rng(9)
    for _ in range(300):
        data = bytearray(whole)
        head = len(data) if suffix == ".tif" else 60
        for place in random.integers(0, head, 3):
            data[place] = random.integers(256)
        path.write_bytes(data)
        with suppress(InputError):
            header = image_header(path)
            assert 0 < header.width * header.height <= 1 << 28


TWO = struct.pack("<2sHI", b"II", 42, 8)


def directory(at: int, following: int, **tags: int) -> bytes:
    names = {"subfile": 254, "width": 256, "height": 257, "bits": 258, "format": 339}
    entries = b"".join(struct.pack("<HHII", names[n], 4, 1, value) for n, value in tags.items())
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (TWO + directory(8, 0, width=5, height=5, bits=32), "32 bits a sample, allowed"),
        (TWO + directory(8, 0, width=5, height=5, bits=32, format=3), "as floating point"),
        (TWO + directory(8, 8, width=5, height=5), "it holds 64 images"),
        (b"II+\0" + bytes(20), "4 GB"),
        (TWO + directory(8, 0, width=0, height=5), "got 0x5 pixels"),
        (TWO + directory(8, 0, width=1 << 20, height=1 << 20), "allowed are 1 to"),
    ],
    ids=["bits", "float", "several", "big", "none", "huge"],
)
def test_tiff_that_is_not_read_is_refused_in_words(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "a.tiff"
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason):
        image_header(path)


def test_an_animation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    head = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + bytes(6)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head)) + head + bytes(10))
    with pytest.raises(InputError, match="animation"):
        image_header(path)
    whole = image(".png", "colour")
    control = struct.pack(">I", 8) + b"acTL" + bytes(12)
    path.with_suffix(".png").write_bytes(whole[:33] + control + whole[33:])
    with pytest.raises(InputError, match="animation"):
        image_header(path.with_suffix(".png"))


def test_a_folder_is_checked_whole(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"f{number}.jpg").write_bytes(image(".jpg", "colour"))
    assert [name for name, _ in checked_images(tmp_path)] == [f"f{n}.jpg" for n in range(5)]
    (tmp_path / "f4.jpg").write_bytes(image(".jpg", "colour")[:-200])
    with pytest.raises(InputError, match=r"f4\.jpg: .*breaks off"):
        checked_images(tmp_path)
    (tmp_path / "f4.jpg").write_bytes(
        cv2.imencode(".jpg", np.zeros((37, 52, 3), np.uint8))[1].tobytes()
    )
    with pytest.raises(InputError, match=r"f4\.jpg: got 52x37 .*50x37 as in f0\.jpg"):
        checked_images(tmp_path)
    (tmp_path / "f9.png").write_bytes(b"")
    with pytest.raises(InputError, match="got 5 JPEG and 1 PNG files, allowed are images of one"):
        checked_images(tmp_path)
