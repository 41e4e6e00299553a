"""``teach``: two real streams of one scene become a better model, or nothing is kept."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from peers import RtspCamera, draw_number, read_number
from tiny_models import model_folder
from two_streams import Crop, Luma, two_streams, yard_frames
from typer.testing import CliRunner, Result

from streamsr.cli.main import app
from streamsr.core.config import load
from streamsr.core.errors import InputError, SourceError
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.settings import InputSettings
from streamsr.sources.opening import file_frames
from streamsr.train.loop import Trainer
from streamsr.train.settings import TrainSettings
from streamsr.train.teach.recording import record, recorded_in
from streamsr.train.teach.taught import Taught
from streamsr.zoo.registry import find

CROP = Crop(16, 10, 288, 160)
Camera = Callable[..., RtspCamera]


def numbered(count: int, first: int = 0) -> Iterator[Luma]:
    """The yard's frames, each with its number in what the sub-stream shows."""
    for number, frame in enumerate(yard_frames(count)):
        shown = frame[CROP.top : CROP.top + CROP.height, CROP.left : CROP.left + CROP.width]
        draw_number(shown, first + number)
        yield frame


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Clips of a main and a sub-stream that goes through its scene 300 ms later."""
    folder, scene = tmp_path_factory.mktemp("streams"), list(numbered(250))
    made = two_streams(folder / "clips", scene, crop=CROP, codec="libx265")
    two_streams(folder / "late", [*scene[-8:], *scene[:-8]], crop=CROP, codec="libx265")
    return made[0], folder / "late" / "sub.mp4"


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """A folder of models with a small one, which has everything to learn."""
    folder = tmp_path / "models"
    model_folder(folder / "tiny-x2", "fast", 1, family="tiny", scale=2, fold=2)
    return folder


def at_once(
    streams: tuple[Path, Path], rtsp_camera: Camera, **settings: str
) -> tuple[RtspCamera, ...]:
    """Both streams of a camera, begun at about the same time: each has a timeline of its own."""
    with ThreadPoolExecutor(2) as pool:
        return tuple(pool.map(lambda path: rtsp_camera(path, **settings), streams))


def teach(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["teach", *map(str, arguments), "--json"])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the time there is, which a busy machine needs for the rest, training takes a little."""
    train = Trainer.run_for
    monkeypatch.setattr(
        Trainer, "run_for", lambda trainer, seconds, report: train(trainer, min(seconds, 4), report)
    )


def numbers_in(folder: Path) -> list[list[int | None]]:
    return [
        [read_number(np.asarray(frame.planes[0], np.uint8)) for frame in file_frames(path)]
        for path in sorted(folder.glob("*.mkv"))
    ]


def test_two_rtsp_streams_teach_a_model(
    streams: tuple[Path, Path],
    family: Path,
    rtsp_camera: Camera,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quick: None,
) -> None:
    """H.264 and H.265, 300 ms and a crop apart: every pair is of one frame, to the pixel."""
    monkeypatch.chdir(tmp_path)
    main, sub = at_once(streams, rtsp_camera, user="admin", password="p@ss/w%rd:#1")
    monkeypatch.setenv("MAIN", main.url)
    (tmp_path / "sub.url").write_text(sub.url)
    start = time.monotonic()
    done = teach(
        *("--main", "${MAIN}", "--sub", "@sub.url", "--minutes", 0.13, "--train-minutes", 2),
        *("--name", "gate", "--init", "tiny", "--models", family, "--threads", 1),
    )
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["improvement_db"] > 0
    assert result["better"]
    assert time.monotonic() - start < 8 + 120 + 60  # where the machine is busy
    shown = [result[key] for key in ("left", "top", "width", "height")]
    assert shown == pytest.approx([CROP.left, CROP.top, CROP.width, CROP.height], abs=0.15)
    assert (result["scale"], result["exact"]) == (2, True)
    pairs = tmp_path / "runs" / "gate" / "pairs"
    for part in ("train", "choose", "unseen"):
        truths, lows = (numbers_in(pairs / part / kind) for kind in ("truth", "low"))
        assert truths == lows
        assert sum(number is not None for clip in truths for number in clip) >= 8
    entry = find(f"./{result['folder']}")
    assert (entry.name, entry.family, entry.facts.scale) == ("gate-x2", "gate", 2)
    assert "training did not see" in entry.card.figures["luma PSNR"]
    assert (entry.folder / "train.toml").exists()
    written = "".join(
        path.read_text(errors="replace") for path in (tmp_path / "runs").rglob("*.[jt]*")
    )
    for text in (done.output, done.stderr, written):
        assert "p@ss" not in text
        assert "p%40ss" not in text


def test_files_teach_too_and_what_is_not_better_leaves_what_is_there(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.chdir(tmp_path)
    main, sub = two_streams(tmp_path, yard_frames(120))
    monkeypatch.setattr("streamsr.train.loop.Trainer.learning_rate", lambda trainer: -1e-3)
    there = tmp_path / "runs" / "taught-x2" / "taught-x2"
    shutil.copytree(family / "tiny-x2", there)
    before = {path.name: path.read_bytes() for path in there.iterdir()}
    done = teach(
        *("--main", main, "--sub", sub, "--train-minutes", 2, "--init", "tiny"),
        *("--models", family),
    )
    assert done.exit_code == 1, done.output
    result = json.loads(done.stdout)
    assert not result["better"]
    assert result["folder"] is None
    assert "not better than tiny-x2" in done.stderr
    assert result["psnr_there_db"] == result["psnr_before_db"]
    assert [*(tmp_path / "runs").rglob("card.toml")] == [there / "card.toml"]
    assert {path.name: path.read_bytes() for path in there.iterdir()} == before
    assert load(there.parent / "train.toml", TrainSettings).data.footage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "allowed are --main and --sub, or --pairs"),
        (["--main", "rtsp://127.0.0.1:1/a"], "allowed are --main and --sub"),
        (["--main", "demo", "--sub", "demo"], "got demo and demo, allowed are two live"),
        (["--pairs", "nowhere"], "there is no main.mkv"),
        (["--main", "a.mp4", "--sub", "b.mp4"], "there is no such file"),
        (["--name", "a/b", "--pairs", "x"], "got 'a/b'"),
        (["--pairs", "x", "--init", "bicubic"], "got a filter, allowed is a family with weights"),
        (["--pairs", "x", "--scale", "3"], "got 3, allowed are those of fast-camera: 2, 4"),
    ],
)
def test_what_cannot_be_taught_by_is_refused_at_once(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = teach(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_a_time_that_is_too_short_is_said_and_kept_to(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main, sub = two_streams(tmp_path, yard_frames(120))
    done = teach(
        *("--main", main, "--sub", sub, "--train-minutes", 0.02, "--init", "tiny"),
        *("--models", family),
    )
    assert done.exit_code == 2, done.output
    assert "--train-minutes: too short: got as far as" in done.stderr
    assert [*tmp_path.glob("runs/*-x2/*/card.toml")] == []


def test_where_nothing_moves_it_is_said(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.chdir(tmp_path)
    still = next(iter(yard_frames(1)))
    main, sub = two_streams(tmp_path, [still] * 100)
    done = teach(
        *("--main", main, "--sub", sub, "--train-minutes", 2, "--init", "tiny"),
        *("--models", family),
    )
    assert done.exit_code in (0, 1), done.output
    assert "in 0% of the frames something moves" in done.stderr


def recorded_frames(folder: Path) -> list[int]:
    return [sum(1 for _ in file_frames(folder / f"{role}.mkv")) for role in ("main", "sub")]


def test_an_interrupt_keeps_what_was_recorded(
    streams: tuple[Path, Path],
    rtsp_camera: Camera,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    main, sub = (rtsp_camera(path) for path in streams)

    def interrupt(recording: Any) -> None:
        if min(recording.frames.values()) > 30:
            os.kill(os.getpid(), signal.SIGINT)

    inputs = [InputSettings(url=one.url) for one in (main, sub)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # of whichever test was last
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(KeyboardInterrupt):
        record(inputs, Path("kept"), seconds=60, most_bytes=10**9, emit=print, report=interrupt)
    assert min(recorded_frames(Path("kept"))) > 30
    lag_s = recorded_in(Path("kept")).lag_s
    assert lag_s is not None
    assert abs(lag_s) < 5


def test_a_recording_ends_at_the_disks_limit(
    streams: tuple[Path, Path], rtsp_camera: Camera, tmp_path: Path
) -> None:
    inputs = [InputSettings(url=rtsp_camera(path).url) for path in streams]
    done = record(inputs, tmp_path / "full", seconds=60, most_bytes=600_000, emit=print)
    assert "the limit of 0.0006 GB" in done.ended
    assert min(recorded_frames(tmp_path / "full")) > 0
    with pytest.raises(Exception, match="there is a recording already; go on with it by --pairs"):
        record(inputs, tmp_path / "full", seconds=60, most_bytes=600_000, emit=print)


def test_a_camera_that_never_comes_is_named(tmp_path: Path) -> None:
    inputs = [InputSettings(url=f"rtsp://127.0.0.1:1/{n}", give_up_s=1.0) for n in "ab"]
    with pytest.raises(Exception, match="refused"):
        record(inputs, tmp_path / "none", seconds=60, most_bytes=10**9, emit=lambda event: None)
    assert not (tmp_path / "none").exists()


def scored(psnr_db: float) -> Any:
    return SimpleNamespace(ours=SimpleNamespace(psnr_db=psnr_db))


@pytest.mark.parametrize(
    ("after", "there", "better"),
    [(31, None, True), (30, None, False), (31, 30.5, True), (31, 31, True), (31, 31.5, False)],
)
def test_a_new_model_is_also_to_be_as_good_as_the_one_there_is(
    after: float, there: float | None, better: bool
) -> None:
    taught = Taught(
        *("tiny", None, False, 1, {}, 2, True, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0),
        before=scored(30),
        after=scored(after),
        there=None if there is None else scored(there),
    )
    assert taught.better == better


@dataclass
class Source:
    """Frames of a moment each, until it fails or ends."""

    name: str
    frames: int
    error: Exception | None = None
    reconnects: int = 0

    def items(self, stop: threading.Event) -> Iterator[Frame]:
        for number in range(self.frames):
            if stop.wait(0.01):
                return
            planes = tuple(np.full(side, number % 255, np.uint8) for side in ((32, 32), (16, 16)))
            yield Frame(
                (*planes, planes[1]), ColourTags(), number, Fraction(1, 100), time.monotonic()
            )
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, ValueError("odd"), SourceError("odd")])
@pytest.mark.parametrize("frames", [0, 200])
def test_a_source_that_fails_or_ends_ends_the_recording(
    frames: int, error: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that gave nothing leaves no folder, and the other one does not wait for it."""
    made = iter([Source("main", 10**9), Source("sub", frames, error)])
    monkeypatch.setattr(
        "streamsr.train.teach.recording.open_source", lambda settings, emit: next(made)
    )
    folder, inputs = tmp_path / "a" / "recording", [InputSettings(url="rtsp://a/b")] * 2
    limits = {"seconds": 60, "most_bytes": 10**9, "emit": print}
    why = "odd" if error else "--sub: the stream has ended"
    if not frames:
        with pytest.raises(Exception, match=why):
            record(inputs, folder, **limits)  # type: ignore[arg-type]
        assert not folder.exists()
        return
    assert why in record(inputs, folder, **limits).ended  # type: ignore[arg-type]
    assert min(recorded_frames(folder)) > 30


def test_a_folder_without_both_streams_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.mkv").write_bytes(b"")
    with pytest.raises(InputError, match=r"there is no sub\.mkv"):
        recorded_in(tmp_path)
