"""Fixed cameras, and cameras that move over a photograph."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr.core.errors import InputError
from streamsr.core.frame import Plane
from streamsr.train.files import still_paths
from streamsr.train.stills import Motion, moving


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of 384x320 pixels: smooth hills, so that a move shows as a change of level."""
    path = tmp_path_factory.mktemp("stills") / "hills.jpg"
    rows, columns = np.mgrid[0:320, 0:384]
    luma = 120 + 60 * np.sin(columns / 9) * np.cos(rows / 11)
    image = av.VideoFrame.from_ndarray(
        np.stack([luma] * 3, -1).round().astype(np.uint8), format="rgb24"
    ).reformat(format="yuvj444p")
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 384, 320, "yuvj444p"
    context.time_base = Fraction(1, 25)
    context.options = {"qmin": "1", "qmax": "1"}
    path.write_bytes(b"".join(map(bytes, context.encode(image))))
    return path


def lumas(path: Path, motion: Motion) -> list[Plane]:
    return [frame.planes[0].astype(float) for frame in moving(path, motion)]


def moved(one: Plane, other: Plane) -> tuple[int, int]:
    """By how many rows and columns ``other`` has moved against ``one``, to the nearest pixel."""
    inside = np.s_[16:-16, 16:-16]
    shifts = [(down, across) for down in range(-9, 10) for across in range(-9, 10)]
    return min(shifts, key=lambda s: np.abs(np.roll(one, s, (0, 1))[inside] - other[inside]).mean())


def test_a_fixed_camera_shows_the_photograph_itself(photograph: Path) -> None:
    first, *rest = lumas(photograph, Motion())
    assert first.shape == (256, 336)
    assert all((frame == first).all() for frame in rest)
    assert first.min() > 16 + 40
    assert first.max() < 16 + 160  # full range has become limited
    assert len(rest) == 23


def test_a_pan_moves_by_what_it_says(photograph: Path) -> None:
    motion = Motion(start=(0.1, 0.1), pan_px=(0.5, 1.0))
    frames = lumas(photograph, motion)
    assert moved(frames[0], frames[8]) == (-4, -8)
    assert not (frames[0] == frames[1]).all()


def test_a_camera_that_comes_nearer_keeps_its_centre(photograph: Path) -> None:
    frames = lumas(photograph, Motion(closing=0.004))
    change = np.abs(frames[-1] - frames[0])
    assert change[108:148, 148:188].mean() < 0.5 * change[:40, :40].mean()


def test_a_motion_is_drawn_by_its_seed(photograph: Path) -> None:
    drawn = [Motion.drawn((3, n), 0.55) for n in range(200)]
    assert drawn == [Motion.drawn((3, n), 0.55) for n in range(200)]
    kinds = [bool(m.shake_px) + bool(m.closing) + any(m.pan_px) for m in drawn]
    assert 0.4 < kinds.count(0) / len(kinds) < 0.7
    assert max(kinds) == 1
    shaking = replace(Motion(), shake_px=1.0, seed=5)
    for one, other in zip(lumas(photograph, shaking), lumas(photograph, shaking), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_folder_without_photographs_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no photograph; allowed endings are \.jpeg"):
        still_paths(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        still_paths(tmp_path / "none")
