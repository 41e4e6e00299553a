"""Degradations: what a seed draws stays the same, and what is shown lies where the truth does."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import texture, write_clip

from streamsr.cli.training.degrade import degrade
from streamsr.cli.training.train import train
from streamsr.core.config import parse
from streamsr.core.errors import ConfigError, InputError
from streamsr.core.frame import ColourTags, Frame, Plane
from streamsr.media.camera_codec import CameraCoding, coded
from streamsr.media.images import read_image
from streamsr.networks.resample import resize
from streamsr.train.degrade import Recipe, degraded, drawn
from streamsr.train.settings import DegradeSettings
from streamsr.zoo.registry import find

CLEAN = CameraCoding(kbit_s=100_000, preset="medium")


def frames(luma: Plane) -> list[Frame]:
    """(n, h, w) luma as colourless 4:2:0."""
    grey = np.full((luma.shape[1] // 2, luma.shape[2] // 2), 128, np.uint8)
    return [
        Frame((plane, grey, grey), ColourTags(1, 1, 1), n, Fraction(1, 25))
        for n, plane in enumerate(luma)
    ]


def psnr(one: Plane, other: Plane) -> float:
    return float(10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))


def test_a_recipe_is_drawn_by_its_seed_out_of_the_settings() -> None:
    settings = DegradeSettings(
        scalers=("area", "lanczos"), blur_px=(0.0, 1.0), noise=(1.0, 2.0), kbit_s=(50.0, 60.0)
    )
    recipes = [drawn(settings, (7, n)) for n in range(40)]
    assert recipes == [drawn(settings, (7, n)) for n in range(40)]
    assert recipes[0] != drawn(settings, (8, 0))
    assert {r.scaler for r in recipes} == {"area", "lanczos"}
    assert {r.blur_px for r in recipes} == {0.0, 1.0}
    assert {r.coding.codec for r in recipes} == {"h264", "h265"}
    assert {r.coding.full_range for r in recipes} == {True, False}
    for recipe in recipes:
        assert 1 <= recipe.noise <= 2
        assert 50 <= recipe.coding.kbit_s <= 60
        assert 25 <= recipe.coding.gop <= 100


def test_a_quantiser_and_a_frame_rate_are_drawn_too() -> None:
    settings = DegradeSettings(qp=(20, 40), qp_share=0.5, every=(1, 2, 5))
    recipes = [drawn(settings, (3, n)) for n in range(60)]
    quantisers = [recipe.coding.qp for recipe in recipes if recipe.coding.qp is not None]
    assert 20 <= len(quantisers) <= 40
    assert 20 <= min(quantisers) < 26
    assert 34 < max(quantisers) <= 40
    assert {recipe.every for recipe in recipes} == {1, 2, 5}
    assert "QP" in str(next(recipe for recipe in recipes if recipe.coding.qp is not None))
    assert {drawn(DegradeSettings(), (3, n)).coding.qp for n in range(20)} == {None}


def test_of_a_slower_camera_the_frames_between_are_missing() -> None:
    sent = frames(texture(11, 96, 128, speed=3)[..., 1].clip(16, 235))
    shown = list(degraded(sent, 4, replace(Recipe(CLEAN), every=3)))
    assert [frame.pts for frame in shown] == [0, 3, 6, 9]
    whole = list(degraded(sent, 4, Recipe(CLEAN)))
    for frame in shown:
        same = whole[frame.pts].planes[0].astype(float)
        assert np.abs(frame.planes[0] - same).mean() < 1


@pytest.mark.parametrize("scaler", ["bicubic", "bilinear", "area", "lanczos"])
def test_what_is_shown_lies_where_the_truth_does(scaler: str) -> None:
    """Enlarged again, it is nearer to the truth than to the truth moved by one pixel."""
    luma = texture(4, 96, 128, speed=3)[..., 1].clip(16, 235)
    recipe = replace(Recipe(CLEAN), scaler=scaler)  # type: ignore[arg-type]
    for shown, truth in zip(degraded(frames(luma), 4, recipe), luma, strict=True):
        assert shown.planes[0].shape == (24, 32)
        high = resize(torch.from_numpy(shown.planes[0]).float(), 4).numpy()
        inside = np.s_[8:-8, 8:-8]
        fits = psnr(high[inside], truth[inside])
        for axis in (0, 1):
            for step in (-1, 1):
                assert fits > psnr(high[inside], np.roll(truth, step, axis)[inside])


def test_blur_and_noise_do_what_they_say() -> None:
    luma = texture(3, 96, 128)[..., 1].clip(16, 235)
    plain, blurred = (
        [f.planes[0] for f in degraded(frames(luma), 4, replace(Recipe(CLEAN), blur_px=blur))]
        for blur in (0.0, 2.0)
    )
    assert np.mean([f.std() for f in blurred]) < np.mean([f.std() for f in plain])
    flat = np.full((3, 96, 128), 100, np.uint8)
    noisy = [f.planes[0] for f in degraded(frames(flat), 4, replace(Recipe(CLEAN), noise=4.0))]
    assert np.std(noisy[0]) == pytest.approx(4, rel=0.15)
    assert np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1] < 0.3  # new in every frame


def test_a_plain_camera_shrinks_and_codes() -> None:
    luma = texture(12, 256, 256)[..., 1].clip(16, 235)
    low = resize(torch.from_numpy(luma).float(), Fraction(1, 4)).round().clamp(0, 255)
    wanted = coded(frames(low.to(torch.uint8).numpy()), CameraCoding(kbit_s=400))
    camera = Recipe(CameraCoding(kbit_s=400))
    for shown, same in zip(degraded(frames(luma), 4, camera), wanted, strict=True):
        np.testing.assert_array_equal(shown.planes[0], same.planes[0])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kbit_s": [0, 10]}, "rates from 1"),
        ({"kbit_s": [20, 10]}, "the smaller first"),
        ({"gop": [30, 20]}, "gop"),
        ({"qp": [18, 52]}, "from 0 to 51, rising"),
        ({"every": [0]}, "from 1 to 25"),
        ({"codecs": ["av1"]}, "codecs"),
        ({"presets": []}, "presets"),
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse(given, DegradeSettings, "test")


def test_the_command_shows_before_and_after(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "a.mkv", texture(6, 96, 128)[..., 1].clip(16, 235))
    config = tmp_path / "train.toml"
    config.write_text(
        f'name = "x"\nsteps = 1\n[data]\ntrain = "{clips}"\nvalid = "{clips}"\n[data.degrade]\n'
        '[model]\ndescription = "x"\nnetwork = "fast"\n'
        'facts = { scale = 4, window = 1, lookahead = 0, colour = "luma" }\n'
    )
    degrade(config, tmp_path / "sheet.png", rows=2)
    picture = read_image(tmp_path / "sheet.png")
    assert picture.width == 3 * (128 + 6)
    assert picture.height == 2 * (96 + 2 * 14)
    degrade(config, tmp_path / "sheet.png", rows=1, scale=1)  # nothing is shrunk
    assert read_image(tmp_path / "sheet.png").width == 2 * (128 + 6)
    config.write_text(config.read_text().replace("[data.degrade]\n", ""))
    with pytest.raises(ConfigError, match="allowed is a file that has one"):
        degrade(config, tmp_path / "sheet.png", rows=2)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no clip here"):
        degrade(
            Path("models/fast-camera/train.toml"),
            config,
            set_=[f"data.train={tmp_path / 'none'}"],
        )


def test_without_footage_the_built_in_clip_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = find("fast-camera").folder / "train.toml"
    monkeypatch.chdir(tmp_path)
    degrade(shipped, tmp_path / "sheet.png", rows=1)
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert "no footage is given" in capsys.readouterr().err


def test_a_shipped_file_trains_on_the_built_in_clip(tmp_path: Path) -> None:
    shipped = find("fast-small").folder / "train.toml"
    tiny = ["steps=2", "valid_every=2", "batch=1", "data.valid_frames=1", f"runs='{tmp_path}'"]
    train(shipped, data=Path("demo"), set_=[*tiny, f"data.cache='{tmp_path}/cache'"])
    assert (tmp_path / "fast-small" / "fast-small" / "card.toml").exists()
    with pytest.raises(InputError, match="--data demo"):
        train(shipped, set_=[*tiny, "data.train='nowhere'"])
