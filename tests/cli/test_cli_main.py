"""The program as a user meets it: its help, its refusals, its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest

from streamsr.cli.main import COMMANDS
from streamsr.cli.options import Preset
from streamsr.core.settings import EncoderSettings
from streamsr.media.encoder_options import filled

if TYPE_CHECKING:
    from conftest import Started, Streamsr

ROOT = Path(__file__).parents[2]
RUN = Path(__file__).with_name("refusals.py")

LIGHT = [
    ("upscale {tmp}/no.mp4 {tmp}/o.mp4", "there is no such file"),
    ("upscale demo {tmp}/o.mp4 --model fats", "did you mean 'fast'"),
    ("upscale demo {tmp}/o.mp4 --models {tmp}/no", "there is no such folder"),
    ("upscale demo {tmp}/o.mp4 --device cuda:99", "CUDA devices"),
    ("upscale demo {tmp}/o.mp4 --device gpu", "allowed are auto, cpu and cuda:N"),
    ("upscale demo {tmp}/o.mp4 --set encoder.crff=3", "did you mean 'crf'"),
    ("upscale demo {tmp}/o.mp4 --transport sctp", "input.transport: got 'sctp'"),
    ("upscale demo {tmp}/no/o.mp4", "does not exist"),
    ("upscale demo {tmp}/o.gif", "allowed are .mp4"),
    ("upscale demo {tmp}/there.mp4", "--overwrite replaces it"),
    ("upscale {tmp}/there.mp4 {tmp}/there.mp4 --overwrite", "it is the input"),
    ("upscale demo {tmp}/images", "got a folder with 1 PNG files in it"),
    ("upscale demo /proc/o.mp4", "cannot be written"),
    ("upscale demo rtps://u:canary@h/x", "output rtps://***@h/x: got 'rtps' (did you mean 'rtsp"),
    ("upscale gopher://u:canary@x {tmp}/o.mp4", "scheme 'gopher'"),
    ("upscale demo {tmp}/o.mp4 --crf 20 --bitrate 8M", "got --bitrate 8M too"),
    ("upscale demo {tmp}/o.mp4 --bitrate 8000", "allowed is a number with k or M"),
    ("upscale demo {tmp}/o.mp4 --preset slo", "encoder.preset: got 'slo'"),
    ("upscale demo {tmp}/frames --crf 20", "got --crf too"),
    ("upscale demo rtsp://127.0.0.1:1/x --codec hevc", "allowed is 'h264'"),
    ("upscale demo rtsp://127.0.0.1:1/x --set encoder.low_delay=false", "a file alone"),
    (
        "serve rtsp://127.0.0.1:1/x --set encoder.low_delay=false",
        "encoder.low_delay: got false, allowed is true",
    ),
    ("probe {tmp}/no.mp4", "there is no such file"),
    ("probe demo --device cuda:99", "CUDA devices"),
    ("run {tmp}/typo.toml", "did you mean 'transport'"),
    ("run {tmp}/broken.toml", "cannot be read as TOML"),
    ("run {tmp}/no.toml", "there is no such file; those to begin with are in "),
    ("run fast-cameras", "allowed are a .toml file and"),
    ("run {tmp}/idle.toml", "it has no output"),
    ("run {tmp}/idle.toml --set input.live=maybe", "input.live: got 'maybe'"),
    ("run {tmp}/idle.toml --set output.path={tmp}/o.mp4 --set model.device=cuda:99", "CUDA"),
    ("node {tmp}/node.toml", "did you mean 'fast'"),
    ("node {tmp}/idle.toml", "key 'streams' is missing"),
    ("serve {tmp}/no.mp4", "there is no such file"),
    ("serve demo --record {tmp}/there.mp4", "--overwrite replaces it"),
    ("demo --listen 0.0.0.0:0", "loopback"),
    ("demo --listen nowhere", "HOST:PORT"),
    ("demo --model fats", "did you mean 'fast'"),
    ("models info fats", "did you mean 'fast'"),
    ("models list --models {tmp}/no", "there is no such folder"),
    ("models import {tmp}/noise.mp4 --name x --into {tmp}", "noise.mp4"),
    ("models import {tmp}/no.pth --name x --into {tmp}", "No such file"),
    ("models import {tmp}/noise.mp4 --name a.b --into {tmp}", "allowed are letters"),
    ("eval {tmp}/empty", "empty"),
    ("eval {tmp}/no", "cannot be read"),
    ("eval {tmp} --model fats", "did you mean 'fast'"),
    ("eval {tmp} --scale 8", "got scale 8"),
    ("eval {tmp} --lr {tmp}/no", "cannot be read"),
    ("eval {tmp} --lr {tmp} --degrade bd", "got bd with --lr"),
    ("eval {tmp} --device cuda:99", "CUDA devices"),
    ("train {tmp}/no.toml", "there is no such file"),
    ("train {tmp}/idle.toml", "key 'name' is missing"),
    ("train", "--init MODEL --data FOLDER"),
    ("train {models}/fast/train.toml --scale 2", "--init MODEL --data FOLDER (with --scale)"),
    ("train {models}/fast/train.toml --minutes 1", "--minutes: got a training file"),
    ("train {models}/fast/train.toml --name foo", "--name: got a training file"),
    ("train {models}/fast/train.toml --models {tmp}", "--models: got a training file"),
    ("train --init fast --data {tmp} --scale 8", "got scale 8"),
    ("train --init fats --data {tmp}", "did you mean 'fast'"),
    ("train --init fast --data {tmp}/empty", "there is no clip here"),
    ("train {models}/fast/train.toml --set data.train={tmp}/empty", "there is no clip here"),
    ("train {models}/fast/train.toml --set device=cuda:99", "CUDA devices"),
    ("degrade {models}/fast/train.toml {tmp}/o.png", "got no [data.degrade]"),
    ("bench --size big", "allowed are 720p"),
    ("bench --size 640x360", "for an input of that size say --input-size 640x360"),
    ("bench --input-size big", "--input-size: got 'big', allowed is WIDTHxHEIGHT"),
    ("bench --model fats", "did you mean 'fast'"),
]
"""Arguments and a few of the words: what is wrong shows without opening anything."""
USAGE = [
    ("upscale", "Missing argument 'INPUT'"),
    ("demo --seconds no", "Invalid value for '--seconds'"),
    ("demos", "No such command 'demos'"),
    ("eval {tmp} --degrade jpeg", "'jpeg' is not one of"),
]
"""What typer refuses."""
OPENED = [
    ("upscale {tmp}/noise.mp4 {tmp}/o.mp4", "cannot be opened"),
    ("upscale {tmp}/empty {tmp}/o", "no PNG file"),
    ("probe {tmp}/noise.mp4", "cannot be opened"),
]
"""What is wrong shows once PyAV has opened it."""
REFUSED = [*LIGHT, *USAGE, *OPENED]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each of ``REFUSED``, all of them run in one process."""
    folder = tmp_path_factory.mktemp("pitfalls")
    for name in ("empty", "images"):
        (folder / name).mkdir()
    (folder / "images" / "a.png").touch()
    (folder / "there.mp4").write_bytes(b"mine")
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(30_000))
    (folder / "typo.toml").write_text('[input]\nurl = "demo"\ntranport = "udp"\n[serve]\n')
    (folder / "broken.toml").write_text("[input\n")
    (folder / "idle.toml").write_text('[input]\nurl = "demo"\n')
    (folder / "node.toml").write_text('[[streams]]\ninput.url = "demo"\nmodel.name = "fats"\n')
    places = {"tmp": str(folder), "models": str(ROOT / "models")}
    commands = [[part.format(**places) for part in args.split()] for args, _ in REFUSED]
    done = subprocess.run(
        [sys.executable, RUN],
        input=json.dumps(commands),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [path.name for path in folder.iterdir() if path.name[0] == "o"] == []
    assert (folder / "there.mp4").read_bytes() == b"mine"
    return {args: line for (args, _), line in zip(REFUSED, lines, strict=True)}


@pytest.mark.parametrize(("args", "words"), REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(
    outcomes: dict[str, dict[str, Any]], args: str, words: str
) -> None:
    done = outcomes[args]
    assert done["code"] == 2, done["stderr"]
    assert words in " ".join(done["stderr"].split())
    assert "canary" not in done["stderr"] + done["stdout"]
    assert done["stdout"] == ""
    if (args, words) not in USAGE:
        assert done["stderr"].startswith("streamsr: ")


@pytest.mark.parametrize(("args", "words"), REFUSED)
def test_a_refusal_imports_nothing_heavy(
    outcomes: dict[str, dict[str, Any]], args: str, words: str
) -> None:
    allowed = {"av", "numpy", "cv2"} if (args, words) in OPENED else set()
    assert set(outcomes[args]["modules"]) <= allowed


def test_help_says_what_preset_is_taken() -> None:
    (option,) = get_args(Preset)[1:]
    kept = filled(EncoderSettings(), low_delay=False).preset
    hevc = filled(EncoderSettings(codec="hevc"), low_delay=False).preset
    live = filled(EncoderSettings()).preset
    assert option.help.endswith(f"else {kept}, hevc {hevc}, live {live}.")


def test_help_names_every_command(streamsr: "Streamsr") -> None:
    words = streamsr("--help").stdout
    for command in (*COMMANDS, "models"):
        assert command in words
        assert "Usage" in streamsr(command, "--help").stdout


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ("models list --json", 0),
        ("upscale rtsp://127.0.0.1:1/x o.mp4 --model bicubic --set input.give_up_s=0.2", 1),
        ("models info fats", 2),
    ],
)
def test_a_process_ends_with_the_exit_code(
    tmp_path: Path, started: "Started", args: str, code: int
) -> None:
    with started(*args.split(), cwd=tmp_path) as process:
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert bool(stdout) == (code == 0)


def test_the_module_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamsr", "models", "info", "fats"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, "did you mean 'fast'" in done.stderr) == (2, True)


@pytest.mark.parametrize("args", ["models list --json", "models info bicubic --json"])
def test_a_reader_that_is_gone_is_no_traceback(started: "Started", args: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with started(*args.split(), stdout=writer) as process:
        os.close(writer)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (1, "")


def imported_by(folder: Path, *args: str) -> set[str]:
    """Every top package that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "streamsr", *args]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )
    told = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in told}
    assert "streamsr" in names
    return names


@pytest.mark.parametrize(
    ("args", "needed"),
    [
        ("--help", set()),
        ("models list", set()),
        ("upscale demo o.mp4 --device cuda:99", set()),
        ("probe noise.mp4", {"av", "cv2", "numpy"}),
    ],
)
def test_an_answer_waits_for_no_library_that_it_does_not_need(
    tmp_path: Path, args: str, needed: set[str]
) -> None:
    """By which it comes in less than a second: torch alone takes longer."""
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(30_000))
    heavy = {"aiohttp", "aiortc", "av", "cv2", "numpy", "ray", "safetensors", "scipy", "torch"}
    assert imported_by(tmp_path, *args.split()) & heavy == needed
