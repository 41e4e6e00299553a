"""``probe``: what a source is, for programs and for people."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from conftest import Streamsr


def test_probe_describes_a_file(clip: Callable[..., Path], streamsr: "Streamsr") -> None:
    found = json.loads(streamsr("probe", clip(), "--json").stdout)
    assert (found["size"], found["output"]) == ("320x180", "1280x720")
    assert (found["audio"], found["frames"]) == ("aac", 100)
    assert (found["live"], found["colour"]) == (False, "BT.601, limited range")
    text = streamsr("probe", clip(), "--model", "bicubic", "--device", "cpu").stdout
    assert "to 1280x720 by bicubic on cpu, 0 frames of lookahead" in text
    assert "CPU ms a frame here, all of it about 0:00:0" in text


def test_probe_says_what_a_file_costs(clip: Callable[..., Path], streamsr: "Streamsr") -> None:
    small, large = (
        json.loads(streamsr("probe", clip(), "--model", model, "--json").stdout)
        for model in ("bicubic", "fast-small")
    )
    assert 0 < small["cpu_ms"] < large["cpu_ms"]
    assert 0 < small["all_s"] < large["all_s"]


def test_probe_counts_every_pass_and_every_network(
    clip: Callable[..., Path], streamsr: "Streamsr"
) -> None:
    def found(*options: str) -> dict[str, object]:
        source = clip(width=64, height=48, seconds=1)
        told: dict[str, object] = json.loads(streamsr("probe", source, "--json", *options).stdout)
        return told

    best = found("--quality", "best", "--denoise", "0.5")
    assert best["cpu_ms"] > 3 * found()["cpu_ms"]  # type: ignore[operator]
    assert "50% of fast-camera" in str(best["why"])
    assert "several passes" in str(best["why"])
    side = found("--model", "bicubic", "--compare", "side", "--crf", "40")
    assert (side["output"], side["output_sample_aspect"]) == ("512x192", "1")


def test_probe_of_images_is_that_of_their_best_quality(
    streamsr: "Streamsr", tmp_path: Path
) -> None:
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((64, 96, 3), np.uint8))
    usual, auto = (
        json.loads(
            streamsr(
                "probe", tmp_path, "--json", "--model", "fast-small", "--quality", quality
            ).stdout
        )["cpu_ms"]
        for quality in ("usual", "auto")
    )
    assert auto > usual


@pytest.mark.parametrize("asked", ["--scale=1.5", "--size=133"])
def test_what_becomes_of_images_is_what_probe_said(
    streamsr: "Streamsr", tmp_path: Path, asked: str
) -> None:
    """Of any size, odd ones too, and by as many passes."""
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "0.png"), np.zeros((55, 71, 3), np.uint8))
    options = ("--json", "--model", "bicubic", asked)
    told = json.loads(streamsr("probe", tmp_path / "in", *options).stdout)
    made = json.loads(streamsr("upscale", tmp_path / "in", tmp_path / "out", *options).stdout)
    made = made["streams"][0]
    assert (told["output"], told["why"]) == (made["output"], made["why"])
    assert "passes" not in told["why"], "a filter takes but one"
    assert told["encoder"] is None
    video = tmp_path / "out.mp4"
    coded = json.loads(
        streamsr("probe", tmp_path / "in", *options, "--set", f"output.path={video}").stdout
    )
    assert "even sides" in coded["why"]
    assert coded["encoder"] is not None


def test_probe_of_many_goes_on_after_one_that_fails_in_ffmpeg(
    clip: Callable[..., Path], streamsr: "Streamsr", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamsr.cli.probe as probed

    for name in ("a.mp4", "b.mp4"):
        os.link(clip(width=64, height=48, seconds=1), tmp_path / name)
    whole = probed.first_frame

    def failing(settings: object) -> object:
        if settings.input.url.endswith("a.mp4"):  # type: ignore[attr-defined]
            raise av.error.InvalidDataError(1, "Invalid data found")
        return whole(settings)  # type: ignore[arg-type]

    monkeypatch.setattr(probed, "first_frame", failing)
    done = streamsr("probe", tmp_path, "--model", "bicubic", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, len(told["failed"]), told["frames"]) == (1, 1, 25)
