"""Clips: decoded and coded once, each coding its own, frame by frame beside the truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peers import camera_clip, read_number
from synthetic import texture, write_clip

from streamsr.core.errors import InputError
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import resize
from streamsr.train import clips as module
from streamsr.train.clips import Clip, Footage
from streamsr.train.crops import Crops
from streamsr.train.degrade import CAMERAS
from streamsr.train.settings import DataSettings, DegradeSettings

DEGRADE = DegradeSettings(codings=3, still_codings=2, codecs=("h264",), kbit_s=(900.0, 2000.0))
LUMA = Facts(4, 1, 0, Colour.LUMA)
RGB = Facts(4, 1, 0, Colour.RGB)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of 10 frames that move three pixels a frame."""
    made = tmp_path_factory.mktemp("footage")
    for name, seed in (("a", 1), ("b", 2)):
        luma = texture(10, 100, 132, seed=seed, speed=3)[..., 1]
        write_clip(made / f"{name}.mkv", luma.clip(16, 235))
    return made


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests that do not look at what is in it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of other sizes whose frames bear numbers."""
    made = tmp_path_factory.mktemp("numbered")
    camera_clip(made / "b.mkv", width=96, height=72, seconds=0.24, audio=False)
    camera_clip(made / "a.mp4", width=128, height=72, seconds=0.32, first=50, audio=False)
    (made / "notes.txt").write_text("no clip")
    return made


def footage(
    folder: Path,
    cache: Path,
    facts: Facts = LUMA,
    *,
    seed: int = 0,
    report: Callable[[str], None] = lambda clip: None,
    **settings: Any,
) -> Footage:
    """Clips of ``folder``, trained on and scored alike."""
    data = DataSettings(train=folder, cache=cache, **{"valid": folder, **settings})
    return Footage(data, facts, seed, report)


def coded(folder: Path, cache: Path, facts: Facts = LUMA, **options: Any) -> list[Clip]:
    return footage(folder, cache, facts, degrade=DEGRADE, **options).train()


def psnr(low: np.ndarray, truth: np.ndarray) -> float:  # type: ignore[type-arg]
    high = resize(torch.from_numpy(np.array(low)).float(), 4).numpy()
    return float(10 * np.log10(255**2 / ((high - truth.astype(float)) ** 2).mean()))


def test_clips_are_decoded_once(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = footage(numbered, tmp_path / "cache").train()
    assert [(clip.name, clip.pixels.shape) for clip in clips] == [
        ("a", (8, 1, 72, 128)),
        ("b", (6, 1, 72, 96)),
    ]
    assert [read_number(np.array(f[0])) for f in clips[0].pixels] == list(range(50, 58))

    def decode(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(module, "file_frames", decode)
    again = footage(numbered, tmp_path / "cache").train()
    for one, other in zip(clips, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    with pytest.raises(AssertionError):  # another colour is other data
        footage(numbered, tmp_path / "cache", RGB).train()


def test_rgb_clips_have_three_channels(numbered: Path, tmp_path: Path) -> None:
    clips = footage(numbered, tmp_path, RGB).train()
    assert [clip.pixels.shape for clip in clips] == [(8, 3, 72, 128), (6, 3, 72, 96)]


def test_a_clip_that_changed_is_decoded_again(tmp_path: Path) -> None:
    path = tmp_path / "clips" / "a.mkv"
    path.parent.mkdir()
    for first in (3, 90):
        camera_clip(
            path, width=96, height=72, seconds=0.08 + first / 1000, first=first, audio=False
        )
        (clip,) = footage(path.parent, tmp_path / "cache").train()
        assert read_number(np.array(clip.pixels[0, 0])) == first


def test_a_folder_without_clips_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no clip here; allowed endings are \.avi, .*\.mkv"):
        footage(tmp_path, tmp_path / "cache").train()
    assert not (tmp_path / "cache").exists()


def test_a_damaged_clip_leaves_no_half_of_itself(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing" * 99)
    with pytest.raises(InputError, match=r"bad\.mp4"):
        footage(tmp_path, tmp_path / "cache").train()
    assert list((tmp_path / "cache").glob("*")) == []


def test_a_clip_has_codings_beside_its_truth(folder: Path, cache: Path) -> None:
    ready: list[str] = []
    one, other = coded(folder, cache, report=ready.append)
    assert ready == ["a", "b"]
    assert one.pixels.shape == (10, 1, 96, 128)  # sides cut to what 4:2:0 can be shrunk to
    assert one.codings is not None
    assert one.codings.shape == (3, 10, 1, 24, 32)
    assert other.codings is not None
    assert len({coding.tobytes() for coding in (*one.codings, *other.codings)}) == 6
    for coding in one.codings:
        for n in range(1, 9):
            fits = psnr(coding[n], one.pixels[n])
            assert fits > psnr(coding[n], one.pixels[n - 1]) + 0.3
            assert fits > psnr(coding[n], one.pixels[n + 1]) + 0.3


def test_frame_rates_are_clips_of_their_own(folder: Path, cache: Path) -> None:
    every = DEGRADE.model_copy(update={"every": (1, 3), "codings": 8})
    clips = [clip for clip in footage(folder, cache, degrade=every).train() if clip.name == "a"]
    assert [len(clip.pixels) for clip in clips] == [10, 4]
    for clip in clips:
        assert clip.codings is not None
        assert clip.codings.shape[1:] == (len(clip.pixels), 1, 24, 32)
        for coding in clip.codings:
            fits = psnr(coding[2], clip.pixels[2])
            assert fits > psnr(coding[2], clip.pixels[1]) + 0.3
    assert clips[0].codings is not None
    assert clips[1].codings is not None
    assert len(clips[0].codings) + len(clips[1].codings) == 8
    shares = [clip.weight / len(clip.codings) for clip in clips if clip.codings is not None]
    assert shares[1] == pytest.approx(shares[0] * 3**0.5)  # it has a third of the frames


def test_codings_are_made_once_and_the_same_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = coded(folder, tmp_path / "one")
    again = coded(folder, tmp_path / "two")
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.codings, other.codings)

    def read(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(module, "file_frames", read)
    kept = coded(folder, tmp_path / "one")
    np.testing.assert_array_equal(kept[1].codings, first[1].codings)
    with pytest.raises(AssertionError):  # another seed draws other recipes
        coded(folder, tmp_path / "one", seed=1)


def test_rgb_networks_see_coded_colours(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    camera_clip(tmp_path / "clips" / "a.mkv", width=96, height=64, seconds=0.2, audio=False)
    (clip,) = coded(tmp_path / "clips", tmp_path / "cache", Facts(2, 1, 0, Colour.RGB))
    assert clip.pixels.shape == (5, 3, 64, 96)
    assert clip.codings is not None
    assert clip.codings.shape == (3, 5, 3, 32, 48)
    means = clip.codings.mean((0, 1, 3, 4)) - clip.pixels.mean((0, 2, 3))
    assert np.abs(means).max() < 3


def test_a_validation_is_under_a_plain_camera(folder: Path, cache: Path) -> None:
    clip, _ = footage(folder, cache, degrade=DEGRADE).valid()
    assert clip.codings is not None
    assert len(clip.codings) == len(CAMERAS)
    scores = [psnr(coding[5], clip.pixels[5]) for coding in clip.codings]
    assert scores == sorted(scores)


def test_crops_of_coded_clips_lie_over_their_truth(folder: Path, cache: Path) -> None:
    clips = coded(folder, cache)
    crops = Crops(clips, side=64, window=3, batch=6, seed=0, scale=4)
    for step in range(6):
        low, truth = crops.at(step)
        assert low.shape == (6, 3, 1, 16, 16)
        for seen, wanted in zip(low, truth, strict=True):
            fits = psnr(seen[1].numpy() * 255, wanted[1].numpy() * 255)
            for flipped in (wanted.flip(-1), wanted.flip(-2), wanted.flip(0)):
                assert fits > psnr(seen[1].numpy() * 255, flipped[1].numpy() * 255) - 1e-6
    again = Crops(clips, side=64, window=3, batch=6, seed=0, scale=4)
    assert torch.equal(again.at(4)[0], crops.at(4)[0])


def test_the_end_of_each_clip_is_held_out(folder: Path, cache: Path) -> None:
    held_out = {"valid": None, "held_out": 0.2}
    parts = footage(folder, cache, degrade=DEGRADE, **held_out)
    for train, valid, clip in zip(parts.train(), parts.valid(), coded(folder, cache), strict=True):
        np.testing.assert_array_equal(train.pixels, clip.pixels[:8])
        np.testing.assert_array_equal(valid.pixels, clip.pixels[8:])
        assert train.codings is not None
        assert clip.codings is not None
        np.testing.assert_array_equal(train.codings, clip.codings[:, :8])
    few = footage(folder, cache, clip_frames=8, **held_out)
    assert [len(clip.pixels) for clip in (*few.train(), *few.valid())] == [6, 6, 2, 2]


def test_a_validation_clip_shorter_than_the_window_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "two.mkv", texture(2, 72, 80)[..., 1])
    with pytest.raises(InputError, match="two: got 2 frames of 80x72 pixels, allowed are 3"):
        footage(tmp_path, tmp_path / "cache", Facts(2, 3, 1, Colour.LUMA)).valid()
