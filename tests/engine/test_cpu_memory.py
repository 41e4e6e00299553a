"""How windows run in so much memory: what fits is taken, the quickest way of it."""

from pathlib import Path

import pytest
import torch

from streamsr.engine.cpu.memory import Footprint, MemoryPlan, free_bytes, plan_for
from streamsr.engine.cpu.streaming import footprint_of
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow
from streamsr.networks.tiles import tiles_of

GB = 1e9
FULL_HD = 1080, 1920


def edvr_m(dtype: torch.dtype) -> Footprint:
    network = EDVR().requires_grad_(False).to(dtype)
    return footprint_of(SlidingWindow(network, Facts(4, 5, 2, Colour.RGB, 4)))


def plan(dtype: torch.dtype, size: tuple[int, int], limit: float, workers: int = 2) -> MemoryPlan:
    return plan_for(edvr_m(dtype), size, EDVR().reach, 4, workers, limit)


def test_what_is_counted_is_what_a_stream_keeps() -> None:
    needs = edvr_m(torch.float32)
    level, half, quarter = 4 * 64, 64, 16  # bytes a pixel of the frame
    assert needs.features == 2 * (level + half + quarter)
    assert needs.reference == 2 * level + half + quarter
    assert needs.aligned == level
    assert edvr_m(torch.bfloat16).features == needs.features / 2


@pytest.mark.parametrize(
    ("size", "dtype", "expected"),
    [
        ((180, 320), torch.float32, MemoryPlan(2)),
        ((360, 640), torch.bfloat16, MemoryPlan(2)),
        ((360, 640), torch.float32, MemoryPlan(1, in_order=True)),
        (FULL_HD, torch.bfloat16, MemoryPlan(1, in_order=True, tiles=16)),
    ],
)
def test_a_larger_frame_runs_another_way(
    size: tuple[int, int], dtype: torch.dtype, expected: MemoryPlan
) -> None:
    assert plan(dtype, size, 2.0 * GB) == expected


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("size", [(180, 320), (360, 640), (720, 1280), FULL_HD])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_planned_fits(dtype: torch.dtype, size: tuple[int, int], workers: int) -> None:
    """Up to 1080p, in the 2 GB that a stream takes where nobody says how much."""
    needs, reach = edvr_m(dtype), EDVR().reach
    made = plan(dtype, size, 2.05 * GB, workers)
    pixels = size[0] * size[1]
    if not made.tiles:
        windows = 1 if made.in_order else needs.lookahead + 1
        takes = pixels * needs.streamed(windows, 1 if made.in_order else workers, made.at_once)
    else:
        tile = tiles_of(size, made.tiles, reach, 4)[0]
        frames = pixels * (needs.pixels * needs.window + made.at_once * needs.output)
        takes = frames + made.at_once * tile.height * tile.width * needs.alone()
    assert takes <= 2.05 * GB


def test_the_least_is_tried_where_nothing_fits() -> None:
    assert plan(torch.float32, FULL_HD, 0.1 * GB) == MemoryPlan(1, in_order=True, tiles=64)
    needs = edvr_m(torch.float32)
    assert plan_for(needs, FULL_HD, 0, 4, 2, 0.1 * GB).tiles == 1  # it cannot be divided


def test_free_memory_is_the_machines_or_its_containers(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000 kB\nMemFree: 1000 kB\nMemAvailable:    4000 kB\n")
    assert free_bytes(meminfo, tmp_path) == 4000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5000\n")
    assert free_bytes(meminfo, tmp_path) == 4000 * 1024
    (tmp_path / "memory.max").write_text("6000\n")
    assert free_bytes(meminfo, tmp_path) == 1000
    assert free_bytes(tmp_path / "none", tmp_path / "none") == float("inf")
