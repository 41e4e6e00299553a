"""What a self-check compares: frames shrunk as the papers do, and two PSNRs."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.resample import scaled_plainly
from streamsr.media.scene import Scene
from streamsr.networks.resample import resize
from streamsr.pipeline.trial import ahead_db, cropped, shrunk

LEFT, CENTRE = ColourTags(1, 1, 1), ColourTags(1, 1, 1, False, 2)


@pytest.fixture(scope="module")
def town() -> Frame:
    return Frame(Scene(322, 182).picture(40), LEFT, 7, Fraction(1, 25), 3.5)


def as_rgb(frame: Frame) -> Frame:
    """The luma of a frame in three channels."""
    tags = ColourTags(matrix=0, full_range=True)
    return replace(frame, planes=(np.stack([frame.planes[0]] * 3, -1),), colour=tags)


def psnr(one: Frame, other: Frame) -> float:
    error = one.planes[0].astype(float) - other.planes[0].astype(float)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


@pytest.mark.parametrize(("scale", "size"), [(4, (176, 320)), (3, (180, 318)), (2, (180, 320))])
def test_a_frame_is_cropped_to_what_shrinks_to_whole_pixels(
    town: Frame, scale: int, size: tuple[int, int]
) -> None:
    whole = cropped(town, scale)
    assert (whole.height, whole.width) == size
    assert (whole.pts, whole.time_base, whole.arrived) == (town.pts, town.time_base, town.arrived)
    small = shrunk(whole, scale)
    assert (small.height * scale, small.width * scale) == size
    back = scaled_plainly(small, scale)
    assert [plane.shape for plane in back.planes] == [plane.shape for plane in whole.planes]


def test_odd_sides_lose_their_odd_line() -> None:
    odd = Frame(Scene(65, 49).picture(0), LEFT, 0, Fraction(1, 25))
    assert [plane.shape for plane in cropped(odd, 4).planes] == [(48, 64), (24, 32), (24, 32)]
    assert [plane.shape for plane in shrunk(cropped(odd, 4), 4).planes] == [
        (12, 16),
        (6, 8),
        (6, 8),
    ]


def test_a_frame_that_is_too_small_to_shrink_is_refused(town: Frame) -> None:
    planes = tuple(plane[:7, :40] for plane in (town.planes[0], *town.planes[1:]))
    tiny = replace(town, planes=(planes[0], planes[1][:4, :20], planes[2][:4, :20]))
    with pytest.raises(ValueError, match="got 40x7, allowed are sides from 8 on"):
        cropped(tiny, 4)


def test_luma_is_shrunk_as_the_papers_do(town: Frame) -> None:
    whole = cropped(town, 4)
    levels = resize(torch.from_numpy(whole.planes[0].copy()).double(), Fraction(1, 4))
    expected = levels.round().clamp(0, 255).numpy()
    assert np.abs(shrunk(whole, 4).planes[0] - expected).max() <= 1  # halves may round either way
    assert np.array_equal(shrunk(as_rgb(whole), 4).planes[0][..., 2], shrunk(whole, 4).planes[0])


@pytest.mark.parametrize("tags", [LEFT, CENTRE])
def test_chroma_stays_where_it_is_sited(tags: ColourTags) -> None:
    """A ramp of chroma over luma's columns, before and after, by where each sample lies."""
    at = 0.0 if tags.chroma == ColourTags.CHROMA_LEFT else 0.5
    height, width, scale = 64, 384, 4
    columns = 2 * np.arange(width // 2) + at  # of luma, where the samples lie
    chroma = np.tile(np.rint(20 + columns / 2).astype(np.uint8), (height // 2, 1))
    frame = Frame((np.full((height, width), 90, np.uint8), chroma, chroma), tags, 0, Fraction(1))
    small = shrunk(frame, scale).planes[1]
    lie = (2 * np.arange(width // scale // 2) + at + 0.5) * scale - 0.5
    inner = slice(4, -4)
    assert np.abs(small[4, inner] - (20 + lie / 2)[inner]).max() <= 0.75


def test_the_gain_is_the_difference_of_two_psnrs(town: Frame) -> None:
    truth = cropped(town, 4)
    small = shrunk(truth, 4)
    plain = scaled_plainly(small, 4)
    noise = np.random.default_rng(0).normal(0, 6, truth.planes[0].shape)
    better = np.clip(truth.planes[0] + noise, 0, 255).astype(np.uint8)
    ours = replace(plain, planes=(better, *plain.planes[1:]))
    gain_db = ahead_db(truth, small, ours)
    assert gain_db == pytest.approx(psnr(ours, truth) - psnr(plain, truth), abs=1e-3)
    assert gain_db is not None
    assert gain_db > 1
    assert ahead_db(truth, small, plain) == pytest.approx(0, abs=1e-6)


def test_the_gain_of_the_truth_itself_is_a_number(town: Frame) -> None:
    truth = cropped(town, 4)
    gain_db = ahead_db(truth, shrunk(truth, 4), truth)
    assert gain_db is not None
    assert 20 < gain_db < 100


def test_rgb_is_compared_in_its_luma(town: Frame) -> None:
    truth = as_rgb(cropped(town, 4))
    small = shrunk(truth, 4)
    assert ahead_db(truth, small, scaled_plainly(small, 4)) == pytest.approx(0, abs=1e-6)
    plain = scaled_plainly(small, 4)
    moved = replace(plain, planes=(np.roll(plain.planes[0], 2, 1),))
    expected = psnr(moved, truth) - psnr(plain, truth)
    assert expected < -0.5
    assert ahead_db(truth, small, moved) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("noise", [0, 1])
def test_a_flat_picture_has_no_gain(noise: int) -> None:
    """The lens is covered: what differs there is rounding, and says nothing of a network."""
    luma = np.full((128, 160), 18, np.uint8)
    luma += np.random.default_rng(0).integers(0, noise + 1, luma.shape, np.uint8)
    chroma = np.full((64, 80), 128, np.uint8)
    black = Frame((luma, chroma, chroma), LEFT, 0, Fraction(1, 25))
    small = shrunk(black, 4)
    assert ahead_db(black, small, scaled_plainly(small, 4)) is None
