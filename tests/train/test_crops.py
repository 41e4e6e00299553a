"""Crops: a batch depends on the seed and the step alone."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.format import open_memmap
from synthetic import texture

from streamsr.core.errors import InputError
from streamsr.networks.resample import resize
from streamsr.train.clips import Clip
from streamsr.train.crops import Crops, batches
from streamsr.train.frames import degrade_bicubic


def test_degradation_is_bicubic_and_of_8_bits() -> None:
    truth = torch.rand(2, 3, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    low = degrade_bicubic(truth, 4)
    assert low.shape == (2, 3, 1, 4, 6)
    exact = resize(truth.double(), Fraction(1, 4))
    assert (low - exact).abs().max() <= 0.5 / 255 + 1e-6
    torch.testing.assert_close(low * 255, (low * 255).round())


def marked(tmp_path: Path, name: str, frames: int, height: int, width: int, base: int) -> Clip:
    """A clip whose samples say where they lie: (frame, row, column) packed into three channels."""
    target = tmp_path / f"{name}.npy"
    pixels = np.zeros((frames, 3, height, width), np.uint8)
    pixels[:, 0] = base + np.arange(frames)[:, None, None]
    pixels[:, 1] = np.arange(height)[:, None]
    pixels[:, 2] = np.arange(width)
    np.save(target, pixels)
    return Clip(name, open_memmap(target, mode="r"))


def test_crops_are_of_one_clip_one_place_and_frames_in_a_row(tmp_path: Path) -> None:
    clips = [marked(tmp_path, "a", 9, 40, 60, 0), marked(tmp_path, "b", 7, 50, 45, 100)]
    crops = Crops(clips, side=16, window=5, batch=8, seed=3, scale=4)
    flips, sources, directions = set(), set(), set()
    for step in range(20):
        low, batch = crops.at(step)
        assert low.shape == (8, 5, 3, 4, 4)
        assert batch.shape == (8, 5, 3, 16, 16)
        assert low.dtype == batch.dtype == torch.float32
        torch.testing.assert_close(low, degrade_bicubic(batch, 4))
        for crop in (batch * 255).round().int():
            numbers = crop[:, 0, 0, 0]
            assert (crop[:, 0] == numbers[:, None, None]).all()
            assert numbers.diff().tolist() in ([1, 1, 1, 1], [-1, -1, -1, -1])
            directions.add(int(numbers[1] - numbers[0]))
            assert (crop[:, 1:] == crop[:1, 1:]).all()  # the window stays in its place
            rows, columns = crop[0, 1], crop[0, 2]
            down, across = (rows[1] - rows[0])[0].item(), (columns[:, 1] - columns[:, 0])[0].item()
            transposed = down == 0
            if transposed:
                down = (rows[:, 1] - rows[:, 0])[0].item()
                across = (columns[1] - columns[0])[0].item()
            assert {abs(down), abs(across)} == {1}
            flips.add((down, across, transposed))
            sources.add(int(numbers[0]) >= 100)
    assert len(flips) == 8  # every flip and transposition there is
    assert sources == {False, True}
    assert directions == {1, -1}  # time runs either way


def test_a_batch_depends_on_seed_and_step_alone(tmp_path: Path) -> None:
    clips = [marked(tmp_path, "a", 9, 40, 60, 0)]
    make = lambda seed: Crops(clips, side=16, window=3, batch=4, seed=seed, scale=4)  # noqa: E731
    one, other = make(1), make(1)
    for step in range(5):
        one.at(step)
    assert torch.equal(one.at(7)[1], other.at(7)[1])
    assert not torch.equal(one.at(7)[1], one.at(8)[1])
    assert not torch.equal(one.at(7)[1], make(2).at(7)[1])


def test_a_share_of_the_crops_flickers(tmp_path: Path) -> None:
    clips = [marked(tmp_path, "a", 12, 40, 60, 0)]
    crops = Crops(clips, side=16, window=8, batch=32, seed=5, scale=4, flicker=0.5)
    low, truth = (frames[:, :, 1:].mean((2, 3, 4)) for frames in crops.at(0))  # they stand still
    lit = truth.diff(dim=1).abs().amax(1) > 1e-6
    assert 8 <= lit.sum() <= 24
    torch.testing.assert_close(low, truth, atol=0.004, rtol=0)  # both alike, to 8 bits
    brightest, darkest = truth.amax(1), truth.amin(1)
    assert (darkest >= 0.89 * brightest).all()
    assert (darkest <= 0.95 * brightest).any()


def test_clips_that_are_too_short_or_small_are_left_out(tmp_path: Path) -> None:
    fine, short = marked(tmp_path, "a", 5, 32, 32, 0), marked(tmp_path, "b", 4, 32, 32, 0)
    small = marked(tmp_path, "c", 9, 31, 64, 0)
    crops = Crops([fine, short, small], side=32, window=5, batch=2, seed=0, scale=4)
    assert [clip.name for clip in crops.clips] == ["a"]
    with pytest.raises(InputError, match="no clip holds 5 frames of 32x32 pixels"):
        Crops([short, small], side=32, window=5, batch=2, seed=0, scale=4)


def test_batches_made_ahead_are_the_same(tmp_path: Path) -> None:
    crops = Crops(
        [marked(tmp_path, "a", 9, 40, 60, 0)], side=16, window=3, batch=4, seed=1, scale=4
    )
    for workers in (0, 1, 3):
        with closing(batches(crops, 5, workers)) as made:
            for step, (low, truth) in zip(range(5, 9), made, strict=False):
                assert torch.equal(low, crops.at(step)[0])
                assert torch.equal(truth, crops.at(step)[1])


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


def test_crops_may_be_shrunk_first() -> None:
    clip = Clip("stripes", texture(3, 100, 132, seed=1)[..., 1][:, None])
    far = Crops([clip], side=32, window=1, batch=8, seed=0, scale=4, shrink=(0.4, 0.5))
    _, truth = far.at(0)
    assert truth.shape == (8, 1, 1, 32, 32)
    near = Crops([clip], side=32, window=1, batch=8, seed=0, scale=4)
    detail = [c.at(0)[1].diff(dim=-1).abs().mean() for c in (far, near)]
    assert detail[0] > 1.1 * detail[1]  # twice as much of the clip in as many pixels
