"""``bench``: figures of a model beside bicubic, for programs and for people."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Streamsr

ARGS = ["bench", "--model", "bicubic", "--device", "cpu", "--size", "64x48", "--frames", "25"]


def test_bench_measures_every_stage(streamsr: "Streamsr") -> None:
    result = json.loads(streamsr(*ARGS, "--json").stdout)
    assert (result["input"], result["frames"]) == ("64x48", 25)
    for run in (result["ours"], result["beside"]):
        assert (run["model"], run["device"], run["output"]) == ("bicubic", "cpu", "256x192")
        assert {"network", "other"} < run["cpu_ms"].keys()
        assert run["cpu_ms_total"] == pytest.approx(sum(run["cpu_ms"].values()), rel=0.5)
        assert 0 < run["cpu_ms_outside"] < run["cpu_ms_total"]
        assert run["fps"] > 0
        assert run["latency_ms"]["p50"] <= run["latency_ms"]["p99"]


def test_bench_shows_shares(streamsr: "Streamsr") -> None:
    text = streamsr(*ARGS).stdout
    for words in ("64x48 x 25 frames to 256x192", "network", "CPU a frame", "outside network"):
        assert words in text
