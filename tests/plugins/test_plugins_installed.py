"""Distributions that are installed beside streamsr work through the real command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from plugins.distributions import NETWORK, SINK, SOURCE, install

from streamsr.sources.opening import file_frames

ROOT = Path(__file__).parents[2]
CHEAP = ["--model", "bicubic", "--device", "cpu", "--scale", "2"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with three distributions, and one that is broken and nobody asks for."""
    site = tmp_path / "site"
    install(site, "sensors", {"streamsr.sources": {"mysensor": "sensors:Sensor"}}, SOURCE)
    install(site, "levels", {"streamsr.sinks": {"levels": "levels:Levels"}}, SINK)
    install(site, "doubling", {"streamsr.networks": {"twice": "doubling:Twice"}}, NETWORK)
    groups = ("sources", "sinks", "networks")
    points = {f"streamsr.{group}": {f"bad{group}": "broken:Thing"} for group in groups}
    return install(site, "broken", points, "import there_is_no_such_module")


def streamsr(site: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the command with a folder on the path, as pip's --target leaves it."""
    path = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "streamsr", *arguments],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def twice(folder: Path, name: str = "twice", network: str = "twice", scale: int = 2) -> Path:
    """A folder of models with one of the installed network, which has no weights."""
    (folder / name).mkdir(parents=True)
    (folder / name / "card.toml").write_text(
        f'description = "each pixel twice"\nnetwork = "{network}"\n'
        f'[facts]\nscale = {scale}\nwindow = 3\nlookahead = 1\ncolour = "rgb"\n'
    )
    return folder


def test_a_source_is_upscaled_into_a_file(site: Path) -> None:
    streamsr(site, "upscale", "mysensor://7/room", "out.mp4", *CHEAP)
    frames = list(file_frames(site.parent / "out.mp4"))
    assert [(frame.width, frame.height) for frame in frames] == [(320, 180)] * 7
    assert all(np.diff([frame.planes[0].mean() for frame in frames]) > 5)


def test_a_source_is_probed(site: Path) -> None:
    done = streamsr(site, "probe", "mysensor://7/room", "--json")
    found = json.loads(done.stdout)
    assert (found["size"], found["fps"], found["live"]) == ("160x90", 25.0, False)
    assert found["plugin"] == (
        "source 'mysensor' of sensors 1.0 (entry point mysensor = sensors:Sensor)"
    )
    assert "sensors 1.0" in streamsr(site, "probe", "mysensor://7/room").stdout


def test_a_sink_takes_what_is_upscaled(site: Path, clip: Callable[..., Path]) -> None:
    place = site.parent / "levels.txt"
    streamsr(site, "upscale", str(clip(seconds=0.4)), f"levels://{place}", *CHEAP)
    *lines, last = place.read_text().splitlines()
    assert last == "closed"
    assert [line.split()[0] for line in lines] == ["640x360x3"] * 10


def test_a_file_names_both(site: Path) -> None:
    place = site.parent / "levels.txt"
    (site.parent / "p.toml").write_text(
        '[input]\nurl = "mysensor://5/x"\n[model]\nname = "bicubic"\n[output]\nscale = 2\n'
        f'[[sinks]]\nurl = "levels://{place}"\n'
    )
    streamsr(site, "run", "p.toml")
    assert place.read_text().count("320x180x3") == 5


def test_they_work_in_a_nodes_worker(site: Path) -> None:
    place, hls = site.parent / "levels.txt", site.parent / "hls"
    (site.parent / "p.toml").write_text(
        '[input]\nurl = "mysensor://20/x"\n[model]\nname = "twice"\nfolders = ["models"]\n'
        f'[[sinks]]\nurl = "levels://{place}"\n[hls]\nfolder = "{hls}"\n'
    )
    twice(site.parent / "models")
    streamsr(site, "run", "p.toml")
    assert place.read_text().count("320x180x3") == 20
    assert place.read_text().endswith("closed\n")
    assert (hls / "index.m3u8").exists()


def test_a_network_upscales(site: Path, clip: Callable[..., Path]) -> None:
    models = twice(site.parent / "models")
    where = ["--models", str(models), "--model", "twice"]
    streamsr(site, "upscale", str(clip(seconds=0.4)), "out.mp4", *where)
    assert [(f.width, f.height) for f in file_frames(site.parent / "out.mp4")] == [(640, 360)] * 10


def test_models_say_whose_network_they_run(site: Path) -> None:
    models = str(twice(site.parent / "models"))
    streamsr(site, "models", "list", "--models", models)
    info = ["models", "info", "twice", "--models", models]
    found = json.loads(streamsr(site, *info, "--json").stdout)
    assert found["plugin"] == (
        "network 'twice' of doubling 1.0 (entry point twice = doubling:Twice)"
    )
    assert "doubling 1.0" in " ".join(streamsr(site, *info).stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["upscale", "badsources://x", "out.mp4"],
            "source 'badsources' of broken 1.0 (entry point",
        ),
        (["upscale", "demo", "badsinks://x"], "sink 'badsinks' of broken 1.0 (entry point"),
        (
            ["upscale", "mysensr://x", "out.mp4"],
            "'mysensr' (did you mean 'mysensor'?), allowed are",
        ),
        (["upscale", "demo", "levls://x"], "got 'levls' (did you mean 'levels'?), allowed are bad"),
        (["upscale", "mysensor://many", "out.mp4"], "ValueError: invalid literal for int()"),
        (["upscale", "mysensor://3/x", "levels:///gone/away.txt"], "FileNotFoundError"),
        (["upscale", "mysensor://3/x", "out.mp4", "--video", "1"], "input.video: got 1"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(site: Path, arguments: list[str], words: str) -> None:
    done = streamsr(site, *arguments, code=2)
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("network", "scale", "words"),
    [
        ("badnetworks", 2, "network 'badnetworks' of broken 1.0"),
        ("twicee", 2, "got 'twicee' (did you mean 'twice'?)"),
        ("twice", 3, "network 'twice' of doubling 1.0"),
    ],
)
def test_a_card_that_names_no_such_network(
    site: Path, network: str, scale: int, words: str
) -> None:
    models = str(twice(site.parent / "models", "mine", network, scale))
    arguments = ["upscale", "mysensor://3/x", "out.mp4", "--models", models, "--model", "mine"]
    assert words in streamsr(site, *arguments, code=2).stderr


def test_what_is_broken_and_not_asked_for_stops_nothing_and_says_nothing(site: Path) -> None:
    done = streamsr(site, "upscale", "mysensor://3/x", "out.mp4", *CHEAP)
    assert "broken" not in done.stderr
