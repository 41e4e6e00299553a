"""Every container that a file can be: what it holds, and that it says what it does not."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from peers.film import full_film

from streamsr.core.frame import ColourTags

Upscaled = Callable[..., dict[str, Any]]

OPTIONS = ("--overwrite", "--set", "input.deinterlace=off", "--scale", "1")
FORMATS = {  # codecs of video, audio and texts; what is not kept
    ".mov": ("h264", {"aac", "mp3", "ac3", "alac"}, {"mov_text"}, ["cover", "font.ttf"]),
    ".webm": ("vp9", {"opus"}, {"webvtt"}, ["cover", "font.ttf"]),
    ".ts": (
        "h264",
        {"aac", "mp2", "mp3", "ac3"},
        set(),
        ["subtitle 0", "subtitle 1", "chapters", "cover", "font.ttf"],
    ),
}


def shown(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stamps = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    return [stamp - stamps[0] for stamp in stamps]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_film_is_kept_as_far_as_its_container_can(
    upscaled: Upscaled, tmp_path: Path, suffix: str
) -> None:
    video, audio, texts, not_kept = FORMATS[suffix]
    source, target = full_film(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    summary = upscaled(source, target, *OPTIONS)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert after.streams.video[0].codec_context.name == video
        assert len(after.streams.audio) == len(before.streams.audio)
        assert {s.codec_context.name.removeprefix("lib") for s in after.streams.audio} <= audio
        assert {s.codec_context.codec.canonical_name for s in after.streams.subtitles} == texts
        lasts = before.duration / av.time_base
        assert after.duration / av.time_base == pytest.approx(lasts, abs=0.1)
        assert len(after.chapters()) == (0 if "chapters" in not_kept else 2)
    told = "; ".join(summary["not_kept"])
    assert len(summary["not_kept"]) == len(not_kept), told
    assert [wanted for wanted in not_kept if wanted not in told] == []
    made, given = shown(target), shown(source)
    assert len(made) == len(given)
    assert max(abs(a - b) for a, b in zip(made, given, strict=True)) <= Fraction(1, 500)


@pytest.mark.parametrize("suffix", [".mov", ".webm", ".ts"])
def test_colours_and_pixels_are_those_of_the_source(
    clip: Callable[..., Path], upscaled: Upscaled, tmp_path: Path, suffix: str
) -> None:
    tags = ColourTags(ColourTags.BT709, ColourTags.BT709, ColourTags.BT709, full_range=True)
    source = clip(width=96, height=64, seconds=0.4, colour=tags, aspect=Fraction(4, 3))
    target = tmp_path / f"out{suffix}"
    summary = upscaled(source, target)
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 2)
        kept = container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert kept or "the shape of pixels, 4/3" in summary["not_kept"][0]


def test_a_webm_holds_vp9_alone(streamsr: Any, clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip(width=96, height=64, seconds=0.4)
    done = streamsr("upscale", source, tmp_path / "out.webm", "--codec", "hevc")
    assert done.exit_code == 2
    assert "got hevc of a .webm, allowed is vp9" in done.stderr
    done = streamsr("upscale", source, tmp_path / "out.mp4", "--codec", "vp9")
    assert done.exit_code == 2
    assert "allowed is h264 and hevc" in done.stderr
