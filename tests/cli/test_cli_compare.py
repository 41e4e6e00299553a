"""Before and after in one frame, how strongly a file is restored, and what is said of files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamsr.core.frame import ColourTags, Frame
from streamsr.engine.mixed.blend import blended
from streamsr.engine.mixed.compare import compared
from streamsr.engine.resample import resize_frame


def frame(height: int, width: int, level: int) -> Frame:
    chroma = -(-height // 2), -(-width // 2)
    shapes = (height, width), chroma, chroma
    planes = tuple(np.full(shape, level, np.uint8) for shape in shapes)
    return Frame(planes, ColourTags(1, 1, 1), 0, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(40, 60), (41, 63)])
@pytest.mark.parametrize("labels", [False, True])
def test_both_are_in_the_frame(size: tuple[int, int], labels: bool) -> None:
    before, after = frame(10, 15, 60), frame(*size, 180)
    side = compared(before, after, "side", labels=labels)
    assert (side.width, side.height) == (size[1] // 2 * 4, size[0] // 2 * 2)
    assert side.planes[0][0, 0] == 60
    assert side.planes[0][0, -1] == 180
    split = compared(before, after, "split", labels=labels)
    luma = split.planes[0][0]
    assert (split.width, split.height) == (size[1] // 2 * 2, size[0] // 2 * 2)
    assert [*np.unique(luma)] == [60, 180, 235]
    assert (luma == 235).sum() == 2
    assert (len(np.unique(side.planes[0])) > 2) is labels


def test_rgb_of_odd_sides_is_whole() -> None:
    after = Frame((np.full((21, 31, 3), 9, np.uint8),), ColourTags(matrix=0), 0, 1)  # type: ignore[arg-type]
    both = compared(resize_frame(after, 8, 6), after, "side")
    assert both.planes[0].shape == (21, 62, 3)


def test_a_share_of_each_is_in_the_mean() -> None:
    one, other = frame(4, 6, 100), frame(4, 6, 200)
    assert [int(blended(one, other, s).planes[0][0, 0]) for s in (0, 0.25, 1)] == [100, 125, 200]


def test_compared_and_restored_from_the_command_line(
    clip: Callable[..., Path], streamsr: Any, tmp_path: Path
) -> None:
    source, target = clip(width=48, height=32, seconds=0.4), tmp_path / "out.mp4"
    arguments = "upscale", source, target, "--device", "cpu", "--overwrite"
    done = streamsr(*arguments, "--model", "bicubic", "--compare", "side")
    assert done.exit_code == 0, done.stderr
    assert f"{target}: 10 frames 48x32 -> 384x128 by bicubic on cpu, " in done.stderr
    with av.open(str(target)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (384, 128)
    done = streamsr(*arguments, "--denoise", "low", "--json")
    assert done.exit_code == 0, done.stderr
    (told,) = json.loads(done.stdout)["streams"]
    assert told["why"] == "33% of fast-camera, the rest of fast"
    assert (told["path"], told["bytes"]) == (str(target), target.stat().st_size)
    done = streamsr(*arguments, "--denoise", "strong")
    assert "got 'strong', allowed are low, medium, high, or a number 0 to 1" in done.stderr


def test_images_are_compared(streamsr: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    image = np.zeros((8, 12, 4), np.uint16)
    image[..., 3] = 30_000
    cv2.imwrite(str(source / "a.png"), image)
    done = streamsr("upscale", source, target, "--model", "bicubic", "--compare", "side")
    assert done.exit_code == 0, done.stderr
    made = cv2.imread(str(target / "a.png"))
    assert made is not None
    assert made.shape == (32, 96, 3)


def test_probe_sums_up_many(clip: Callable[..., Path], streamsr: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(clip(width=48, height=32, seconds=2).read_bytes())
    (folder / "broken.mp4").write_bytes(b"none")
    done = streamsr("probe", folder, "--model", "bicubic", "--device", "cpu", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["failed"] == [str(folder / "broken.mp4")]
    assert told["frames"] == 100
    target = tmp_path / "out.mp4"
    streamsr("upscale", folder / "a.mp4", target, "--model", "bicubic", "--device", "cpu")
    assert target.stat().st_size / 3 < told["all_bytes"] / 2 < target.stat().st_size * 2
