"""``probe``: what a source is, for programs and for people."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
