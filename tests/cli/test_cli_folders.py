"""Folders of images through the whole command: the same kind, depth and transparency out."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
import torch

from streamsr.media.images import read_samples
from streamsr.networks.resample import resize
from streamsr.sources.image_headers import ImageHeader, image_header

if TYPE_CHECKING:
    from conftest import Streamsr

Upscaled = Callable[..., dict[str, Any]]

BASE = np.linspace(0, 1, 40)[:, None, None] * np.linspace(0.2, 1, 30)[:, None] * np.ones(4)
SMOOTH = np.rint(BASE * 65535).astype(np.uint16)  # (40, 30, 4): a ramp finer than 8 bits


def folder_of(folder: Path, suffix: str, image: np.ndarray, *options: int, count: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        done, data = cv2.imencode(suffix, image, options)
        assert done
        (folder / f"f{number}{suffix}").write_bytes(data.tobytes())
    return folder


def plain(samples: np.ndarray, by: Fraction) -> np.ndarray:
    levels = torch.from_numpy(samples.astype(np.float64)).permute(2, 0, 1)
    return np.clip(np.rint(resize(levels, (by, by)).permute(1, 2, 0).numpy()), 0, 65535)


@pytest.mark.parametrize("scale", ["2", "1.5"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_and_transparency_stay(
    tmp_path: Path, upscaled: Upscaled, suffix: str, scale: str
) -> None:
    upscaled(folder_of(tmp_path / "in", suffix, SMOOTH), tmp_path / "out", "--scale", scale)
    for number in range(3):
        path = tmp_path / "out" / f"f{number}{suffix}"
        wanted = plain(SMOOTH, Fraction(scale))
        assert image_header(path) == ImageHeader(*wanted.shape[1::-1], 16, alpha=True)
        found = read_samples(path, alpha=True)
        assert found.alpha is not None
        assert np.abs(found.colour[..., ::-1] - wanted[..., :3]).max() <= 1
        assert np.abs(found.alpha - wanted[..., 3]).max() <= 1


def test_a_network_keeps_the_depth_too(tmp_path: Path, streamsr: "Streamsr") -> None:
    folder = folder_of(tmp_path / "in", ".png", SMOOTH[..., :3], count=1)
    out = tmp_path / "out"
    assert streamsr("upscale", folder, out, "--model", "fast-small", "--scale", 2).exit_code == 0
    found = read_samples(out / "f0.png").colour
    assert found.dtype == np.uint16
    assert len(np.unique(found)) > 1000, "finer than 8 bits"
    assert np.abs(found[..., ::-1] - plain(SMOOTH[..., :3], Fraction(2))).mean() < 2 * 257


@pytest.mark.parametrize(
    ("suffix", "image", "options", "bits"),
    [
        (".jpg", SMOOTH[..., :3] >> 8, (), 8),
        (".jpg", SMOOTH[..., 0] >> 8, (), 8),
        (".png", SMOOTH[..., 0], (), 16),
        (".png", SMOOTH[..., 0] >> 8, (), 8),
        (".tiff", SMOOTH[..., :3] >> 8, (), 8),
        (".webp", SMOOTH >> 8, (cv2.IMWRITE_WEBP_QUALITY, 90), 8),
        (".webp", SMOOTH[..., :3] >> 8, (cv2.IMWRITE_WEBP_QUALITY, 101), 8),
    ],
)
def test_the_kind_stays(
    tmp_path: Path,
    upscaled: Upscaled,
    suffix: str,
    image: np.ndarray,
    options: tuple[int, ...],
    bits: int,
) -> None:
    image = image if bits == 16 else image.astype(np.uint8)
    before = image_header(folder_of(tmp_path / "in", suffix, image, *options) / f"f0{suffix}")
    upscaled(tmp_path / "in", tmp_path / "out", "--scale", 2)
    for number in range(3):
        after = image_header(tmp_path / "out" / f"f{number}{suffix}")
        assert (after.width, after.height) == (2 * before.width, 2 * before.height)
        assert (after.bits, after.alpha, after.grey, after.lossless) == (
            (before.bits, before.alpha, before.grey, before.lossless)
        )


def test_what_video_does_not_hold_is_said(tmp_path: Path, streamsr: "Streamsr") -> None:
    folder = folder_of(tmp_path / "in", ".png", SMOOTH)
    done = streamsr("upscale", folder, tmp_path / "out.mp4", "--model", "bicubic", "--scale", 2)
    assert done.exit_code == 0
    assert "SRC_REDUCED" in done.stderr
    assert "transparency, which is left out and 16 bits a sample, which are rounded" in done.stderr


def test_16_bits_become_10_of_hevc(tmp_path: Path, streamsr: "Streamsr") -> None:
    folder = folder_of(tmp_path / "in", ".png", SMOOTH[..., :3])
    out = tmp_path / "out.mkv"
    options = ("--codec", "hevc", "--crf", 1, "--model", "bicubic", "--scale", 2, "--device", "cpu")
    done = streamsr("upscale", folder, out, *options)
    assert done.exit_code == 0
    assert "SRC_REDUCED" not in done.stderr
    with av.open(out) as container:
        image = next(container.decode(video=0))
    assert image.format.name == "yuv420p10le"
    assert len(np.unique(image.to_ndarray(format="gray10le"))) > 300, "finer than 8 bits"


def test_frames_get_their_rate_and_their_audio_back(
    tmp_path: Path, clip: Callable[..., Path], upscaled: Upscaled
) -> None:
    folder = folder_of(tmp_path / "in", ".jpg", (SMOOTH[..., :3] >> 8).astype(np.uint8), count=24)
    out = tmp_path / "out.mp4"
    film = clip(seconds=1.0)
    upscaled(folder, out, "--scale", 2, "--rate", "24000/1001", "--audio-from", film)
    with av.open(out) as video, av.open(film) as source:
        assert video.streams.video[0].base_rate == Fraction(24_000, 1001)
        assert video.streams.video[0].frames == 24
        kept = [bytes(packet) for packet in video.demux(audio=0) if packet.size]
        sent = [bytes(packet) for packet in source.demux(audio=0) if packet.size]
    assert kept == sent[-len(kept) :]
    assert len(sent) - len(kept) <= 1  # an encoder's priming


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("upscale {clip} {tmp}/o.mp4 --audio-from {clip}", "allowed is a folder of images"),
        ("upscale {tmp}/in {tmp}/o --audio-from {clip}", "as the output, allowed is a video"),
        ("upscale {tmp}/in {tmp}/o.mp4 --audio-from {tmp}/no.mp4", "allowed is a file that is"),
        ("upscale {tmp}/in {tmp}/o.mp4 --rate fast", "allowed is a number from 0.01 to 240"),
        ("upscale {clip} {tmp}/o.mp4 --rate 30", "allowed is a folder of images"),
        ("upscale {tmp}/mixed {tmp}/o", "got 2 PNG and 1 JPEG files"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    tmp_path: Path,
    clip: Callable[..., Path],
    streamsr: "Streamsr",
    arguments: str,
    reason: str,
) -> None:
    small = (SMOOTH[..., :3] >> 8).astype(np.uint8)
    folder_of(tmp_path / "in", ".png", small)
    folder_of(folder_of(tmp_path / "mixed", ".png", small, count=2), ".jpg", small, count=1)
    line = arguments.format(clip=clip(seconds=0.2), tmp=tmp_path)
    done = streamsr(*line.split(), "--model", "bicubic")
    assert done.exit_code == 2
    assert reason in done.stderr.replace("\n", " ")
    assert not json.dumps(sorted(path.name for path in tmp_path.iterdir())).count('"o')


def test_images_of_another_kind_are_not_replaced(tmp_path: Path, upscaled: Upscaled) -> None:
    small = (SMOOTH[..., :3] >> 8).astype(np.uint8)
    folder_of(tmp_path / "in", ".png", small)
    out = folder_of(tmp_path / "out", ".jpg", small, count=1)
    upscaled(tmp_path / "in", out, "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == ["f0.jpg", "f0.png", "f1.png", "f2.png"]
