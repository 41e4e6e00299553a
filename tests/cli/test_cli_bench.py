"""``bench``: figures of a model beside bicubic, for programs and for people."""

import json
from typing import TYPE_CHECKING

import pytest

from streamsr.cli.cpu_limit import cpu_limit_gmac_s
from streamsr.networks.int8 import runs_int8
from streamsr.train.scoring import cost_of
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import find

if TYPE_CHECKING:
    from conftest import Streamsr

ARGS = ["bench", "--device", "cpu", "--input-size", "64x48", "--frames", "25"]


def test_bench_measures_every_stage(streamsr: "Streamsr") -> None:
    result = json.loads(streamsr(*ARGS, "--model", "bicubic", "--json").stdout)
    assert (result["input"], result["frames"]) == ("64x48", 25)
    for run in (result["ours"], result["beside"]):
        assert (run["model"], run["device"], run["output"]) == ("bicubic", "cpu", "256x192")
        assert {"network", "other"} < run["cpu_ms"].keys()
        assert run["cpu_ms_total"] == pytest.approx(sum(run["cpu_ms"].values()), rel=0.5)
        assert 0 < run["cpu_ms_outside"] < run["cpu_ms_total"]
        assert run["fps"] > 0
        assert run["latency_ms"]["p50"] <= run["latency_ms"]["p99"]
        assert run["limit_gmac_s"] is None  # a filter multiplies nothing to speak of


def test_bench_says_how_much_of_this_cpu_a_network_reaches(streamsr: "Streamsr") -> None:
    args = [*ARGS, "--model", "fast-small", "--scale", "2", "--precision", "float32"]
    result = json.loads(streamsr(*args, "--json").stdout)
    ours, beside = result["ours"], result["beside"]
    assert (ours["output"], beside["output"]) == ("128x96", "128x96")
    assert ours["precision"] == "float32"
    entry = find(ours["model"])
    assert entry.family == "fast-small"
    per_pixel = cost_of(make_network(entry.card), entry.facts).macs
    assert ours["gmac"] * 1e9 == pytest.approx(per_pixel * 64 * 48, rel=0.01)
    seconds = ours["cpu_ms"]["network"] / 1e3
    assert ours["gmac_s"] == pytest.approx(ours["gmac"] / seconds, rel=0.05)
    assert ours["limit_share"] == pytest.approx(ours["gmac_s"] / ours["limit_gmac_s"], rel=0.05)
    assert 0.05 < ours["limit_share"] < 1.2
    text = streamsr(*args).stdout.replace("\n", " ")
    assert "fast-small" in text
    assert "in float32: 0." in text


def test_what_a_cpu_can_do_depends_on_the_precision() -> None:
    exact = cpu_limit_gmac_s("float32")
    assert 1 < exact < 1000
    if runs_int8():
        assert cpu_limit_gmac_s("int8") > 1.5 * exact


def test_bench_shows_shares(streamsr: "Streamsr") -> None:
    text = streamsr(*ARGS, "--model", "bicubic", "--size", "160x120").stdout
    for words in ("64x48 x 25 frames to 160x120", "network", "CPU a frame", "outside network"):
        assert words in text
