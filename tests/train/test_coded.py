"""Coded clips: made once, each coding its own, frame by frame beside the truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peers import camera_clip
from synthetic import texture, write_clip

from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import resize
from streamsr.train import coded as module
from streamsr.train.coded import CAMERA_RATES, Coder
from streamsr.train.data import Clip, Crops
from streamsr.train.footage import Footage
from streamsr.train.settings import DataSettings, DegradeSettings

DEGRADE = DegradeSettings(codings=3, still_codings=2, codecs=("h264",), kbit_s=(300.0, 2000.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("footage")
    for name, seed in (("a", 1), ("b", 2)):
        luma = texture(10, 100, 132, seed=seed, speed=3)[..., 1]
        write_clip(made / f"{name}.mkv", luma.clip(16, 235))
    return made


def psnr(low: np.ndarray, truth: np.ndarray) -> float:  # type: ignore[type-arg]
    high = resize(torch.from_numpy(np.array(low)).float(), 4).numpy()
    return float(10 * np.log10(255**2 / ((high - truth.astype(float)) ** 2).mean()))


def test_a_clip_has_codings_beside_its_truth(folder: Path, tmp_path: Path) -> None:
    ready: list[str] = []
    coder = Coder(tmp_path, Colour.LUMA, 4, report=ready.append)
    one, other = coder.clips(folder, DEGRADE)
    assert ready == ["a", "b"]
    assert one.pixels.shape == (10, 1, 96, 128)  # sides cut to what 4:2:0 can be shrunk to
    assert one.codings is not None
    assert one.codings.shape == (3, 10, 1, 24, 32)
    assert other.codings is not None
    assert len({coding.tobytes() for coding in (*one.codings, *other.codings)}) == 6
    for coding in one.codings:
        for n in range(1, 9):
            fits = psnr(coding[n], one.pixels[n])
            assert fits > psnr(coding[n], one.pixels[n - 1]) + 1
            assert fits > psnr(coding[n], one.pixels[n + 1]) + 1


def test_codings_are_made_once_and_the_same_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Coder(tmp_path / "one", Colour.LUMA, 4).clips(folder, DEGRADE)
    again = Coder(tmp_path / "two", Colour.LUMA, 4).clips(folder, DEGRADE)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.codings, other.codings)

    def read(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(module, "file_frames", read)
    kept = Coder(tmp_path / "one", Colour.LUMA, 4).clips(folder, DEGRADE)
    np.testing.assert_array_equal(kept[1].codings, first[1].codings)
    with pytest.raises(AssertionError):  # another seed draws other recipes
        Coder(tmp_path / "one", Colour.LUMA, 4, seed=1).clips(folder, DEGRADE)


def test_rgb_networks_see_coded_colours(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    camera_clip(tmp_path / "clips" / "a.mkv", width=96, height=64, seconds=0.2, audio=False)
    (clip,) = Coder(tmp_path / "cache", Colour.RGB, 2).clips(tmp_path / "clips", DEGRADE)
    assert clip.pixels.shape == (5, 3, 64, 96)
    assert clip.codings is not None
    assert clip.codings.shape == (3, 5, 3, 32, 48)
    means = clip.codings.mean((0, 1, 3, 4)) - clip.pixels.mean((0, 2, 3))
    assert np.abs(means).max() < 3


def test_a_validation_is_under_a_plain_camera(folder: Path, tmp_path: Path) -> None:
    clip, _ = Coder(tmp_path, Colour.LUMA, 4).valid_clips(folder)
    assert clip.codings is not None
    assert len(clip.codings) == len(CAMERA_RATES)
    scores = [psnr(coding[5], clip.pixels[5]) for coding in clip.codings]
    assert scores == sorted(scores)


def test_crops_of_coded_clips_lie_over_their_truth(folder: Path, tmp_path: Path) -> None:
    clips = Coder(tmp_path, Colour.LUMA, 4).clips(folder, DEGRADE)
    crops = Crops(clips, side=64, window=3, batch=6, seed=0, scale=4)
    for step in range(6):
        low, truth = crops.at(step)
        assert low.shape == (6, 3, 1, 16, 16)
        for seen, wanted in zip(low, truth, strict=True):
            fits = psnr(seen[1].numpy() * 255, wanted[1].numpy() * 255)
            for turned in (wanted.flip(-1), wanted.flip(-2), wanted.flip(0)):
                assert fits > psnr(seen[1].numpy() * 255, turned[1].numpy() * 255) - 1e-6
    again = Crops(clips, side=64, window=3, batch=6, seed=0, scale=4)
    assert torch.equal(again.at(4)[0], crops.at(4)[0])


def test_the_end_of_each_clip_is_held_out(folder: Path, tmp_path: Path) -> None:
    settings = DataSettings(train=folder, held_out=0.2, cache=tmp_path, degrade=DEGRADE)
    facts = Facts(4, 1, 0, Colour.LUMA)
    footage = Footage(settings, facts, 0)
    whole = Coder(tmp_path, Colour.LUMA, 4).clips(folder, DEGRADE)
    for train, valid, clip in zip(footage.train(), footage.valid(), whole, strict=True):
        np.testing.assert_array_equal(train.pixels, clip.pixels[:8])
        np.testing.assert_array_equal(valid.pixels, clip.pixels[8:])
        assert train.codings is not None
        assert clip.codings is not None
        np.testing.assert_array_equal(train.codings, clip.codings[:, :8])
    few = Footage(settings.model_copy(update={"clip_frames": 8, "degrade": None}), facts, 0)
    assert [len(clip.pixels) for clip in (*few.train(), *few.valid())] == [6, 6, 2, 2]


def test_windows_do_not_cross_a_cut() -> None:
    one = np.full((64, 64), 40, np.uint8)
    one[:, 32:] = 160
    other = np.full((64, 64), 220, np.uint8)
    other[32:, 32:] = 90
    clip = Clip("cut", np.stack([one] * 4 + [other] * 4)[:, None])
    crops = Crops([clip], side=40, window=3, batch=16, seed=0, scale=4)
    scenes = set()
    for step in range(8):
        _, truth = crops.at(step)
        assert torch.equal(truth, truth[:, :1].expand_as(truth))
        scenes |= {float(crop.max()) for crop in truth}
    assert len(scenes) == 2


def test_crops_may_be_shrunk_first(folder: Path, tmp_path: Path) -> None:
    clips = [
        replace(c, codings=None) for c in Coder(tmp_path, Colour.LUMA, 4).clips(folder, DEGRADE)
    ]
    far = Crops(clips, side=32, window=1, batch=8, seed=0, scale=4, shrink=(0.4, 0.5))
    _, truth = far.at(0)
    assert truth.shape == (8, 1, 1, 32, 32)
    near = Crops(clips, side=32, window=1, batch=8, seed=0, scale=4)
    detail = [c.at(0)[1].diff(dim=-1).abs().mean() for c in (far, near)]
    assert detail[0] > 1.1 * detail[1]  # twice as much of the clip in as many pixels
