"""Ground truth: clips decoded once, crops that depend on the seed and the step alone."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.format import open_memmap
from peers import camera_clip, read_number

from streamsr.core.errors import InputError
from streamsr.networks.facts import Colour
from streamsr.networks.resample import resize
from streamsr.train import data as module
from streamsr.train.ahead import Ahead
from streamsr.train.data import Clip, Crops, degrade_bicubic, load_clips


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("footage")
    camera_clip(made / "b.mkv", width=96, height=72, seconds=0.24, audio=False)
    camera_clip(made / "a.mp4", width=128, height=72, seconds=0.32, first=50, audio=False)
    (made / "notes.txt").write_text("no clip")
    return made


def test_clips_are_decoded_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = load_clips(folder, tmp_path / "cache", Colour.LUMA)
    assert [(clip.name, clip.pixels.shape) for clip in clips] == [
        ("a", (8, 1, 72, 128)),
        ("b", (6, 1, 72, 96)),
    ]
    assert [read_number(np.array(f[0])) for f in clips[0].pixels] == list(range(50, 58))

    def decode(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(module, "file_frames", decode)
    again = load_clips(folder, tmp_path / "cache", Colour.LUMA)
    for one, other in zip(clips, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    with pytest.raises(AssertionError):  # another colour is other data
        load_clips(folder, tmp_path / "cache", Colour.RGB)


def test_rgb_clips_have_three_channels(folder: Path, tmp_path: Path) -> None:
    clips = load_clips(folder, tmp_path, Colour.RGB)
    assert [clip.pixels.shape for clip in clips] == [(8, 3, 72, 128), (6, 3, 72, 96)]


def test_a_clip_that_changed_is_decoded_anew(tmp_path: Path) -> None:
    path = tmp_path / "clips" / "a.mkv"
    path.parent.mkdir()
    for first in (3, 90):
        camera_clip(
            path, width=96, height=72, seconds=0.08 + first / 1000, first=first, audio=False
        )
        (clip,) = load_clips(path.parent, tmp_path / "cache", Colour.LUMA)
        assert read_number(np.array(clip.pixels[0, 0])) == first


def test_a_folder_without_clips_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no clip here; allowed endings are \.avi, .*\.mkv"):
        load_clips(tmp_path, tmp_path / "cache", Colour.LUMA)
    assert not (tmp_path / "cache").exists()


def test_a_damaged_clip_leaves_no_half_of_itself(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing" * 99)
    with pytest.raises(InputError, match=r"bad\.mp4"):
        load_clips(tmp_path, tmp_path / "cache", Colour.LUMA)
    assert list((tmp_path / "cache").iterdir()) == []


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
    assert len(flips) == 8  # every flip and turn there is
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


def test_light_comes_and_goes_in_a_share_of_the_crops(tmp_path: Path) -> None:
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
        with Ahead(crops, workers) as batches:
            for step in (5, 6, 7, 8):
                low, truth = batches.at(step)
                assert torch.equal(low, crops.at(step)[0])
                assert torch.equal(truth, crops.at(step)[1])
