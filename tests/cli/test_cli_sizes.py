"""``--size`` and ``--scale``: what a user names is the size of the result."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import pytest

if TYPE_CHECKING:
    from conftest import Streamsr

Clip = Callable[..., Path]
Upscaled = Callable[..., dict[str, Any]]
ODD = {"width": 321, "height": 181, "pix_fmt": "yuv444p"}  # of which 4:2:0 has no half


def small(clip: Clip, **settings: Any) -> Path:
    return clip(seconds=0.2, audio=False, **settings)


def described(path: Path) -> tuple[int, int, Fraction]:
    """Width, height and pixel aspect that a file states."""
    with av.open(path) as file:
        video = file.streams.video[0]
        return video.width, video.height, video.sample_aspect_ratio or Fraction(1)


@pytest.mark.parametrize(
    ("source", "named", "size"),
    [
        ({"width": 640, "height": 360}, "--size 1080p", (1920, 1080)),
        ({"width": 320, "height": 240}, "--size 1280x720", (960, 720)),
        ({"width": 320, "height": 240}, "--size 480", (640, 480)),
        (ODD, "--scale 2", (642, 362)),
        (ODD, "--scale 1.5", (482, 272)),
        (ODD, "--scale 3", (962, 542)),
    ],
)
def test_a_file_has_the_size_that_is_named(
    clip: Clip,
    tmp_path: Path,
    upscaled: Upscaled,
    source: dict[str, Any],
    named: str,
    size: tuple[int, int],
) -> None:
    out = tmp_path / "out.mp4"
    summary = upscaled(small(clip, **source), out, *named.split())
    assert described(out) == (*size, 1)
    assert summary["output"] == f"{size[0]}x{size[1]}"
    assert (summary["input"], summary["frames_out"]) == (f"{source['width']}x{source['height']}", 5)
    made_even = "not 963x543: H.264 in 4:2:0 has even sides" in summary["why"]
    assert made_even == (named == "--scale 3")


def test_a_folder_of_png_frames_keeps_odd_sides(
    clip: Clip, tmp_path: Path, upscaled: Upscaled
) -> None:
    summary = upscaled(small(clip, **ODD), tmp_path / "out", "--scale", 3)
    assert summary["output"] == "963x543"
    images = [cv2.imread(str(path)) for path in sorted((tmp_path / "out").iterdir())]
    assert [image.shape for image in images] == [(543, 963, 3)] * 5


def test_the_pixel_aspect_is_kept_or_follows_the_rounding(
    clip: Clip, tmp_path: Path, upscaled: Upscaled
) -> None:
    anamorphic = {"width": 352, "height": 288, "aspect": Fraction(12, 11)}
    upscaled(small(clip, **anamorphic), tmp_path / "pal.mp4", "--size", "720p")
    assert described(tmp_path / "pal.mp4") == (880, 720, Fraction(12, 11))
    upscaled(small(clip, width=160, height=90), tmp_path / "small.mp4", "--scale", "0.25")
    assert described(tmp_path / "small.mp4") == (40, 22, Fraction(44, 45))


def test_a_pipeline_files_size_gives_way_to_the_command_lines(
    clip: Clip, tmp_path: Path, streamsr: "Streamsr"
) -> None:
    file, out = tmp_path / "one.toml", tmp_path / "out.mp4"
    model = '[model]\nname = "bicubic"\ndevice = "cpu"\n'
    output = f'[output]\npath = "{out}"\noverwrite = true\nscale = 2\n'
    file.write_text(f'[input]\nurl = "{small(clip)}"\n{model}{output}')
    for named, size in (((), (640, 360)), (("--size", "270"), (480, 270))):
        done = streamsr("run", file, *named)
        assert done.exit_code == 0, done.stderr
        assert described(out)[:2] == size


def test_probe_says_which_size_the_result_would_have(clip: Clip, streamsr: "Streamsr") -> None:
    args = ("probe", small(clip, **ODD), "--model", "bicubic", "--device", "cpu", "--scale", "1")
    found = json.loads(streamsr(*args, "--json").stdout)
    assert (found["output"], found["output_sample_aspect"]) == ("320x180", "1")
    assert "320x180, not 321x181: H.264 in 4:2:0 has even sides" in found["why"]
    assert "to 320x180 by bicubic on cpu" in streamsr(*args).stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("upscale demo {tmp}/o.mp4 --size 1080q", "output.size: got '1080q': allowed are 720p"),
        ("upscale demo {tmp}/o.mp4 --scale 9", "output.scale: got 9.0: allowed is 0.25 to 8"),
        ("upscale demo {tmp}/o.mp4 --scale 2 --size 720p", "a size or a scale, not both"),
        ("serve demo --size 8", "output.size: got '8': allowed are"),
        ("demo --scale 0.1", "output.scale: got 0.1"),
        ("probe demo --size 10x", "output.size: got '10x'"),
        ("run camera-to-file --size big", "output: size: got 'big': allowed are"),
        ("upscale {tiny} {tmp}/o.mp4 --scale 0.25", "got 16x8 from 64x36, allowed are sides"),
    ],
)
def test_a_size_that_cannot_be_is_refused(
    clip: Clip, tmp_path: Path, streamsr: "Streamsr", args: str, words: str
) -> None:
    places = {"tmp": tmp_path, "tiny": small(clip, width=64, height=36)}
    done = streamsr(*[part.format(**places) for part in args.split()])
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert not (tmp_path / "o.mp4").exists()
