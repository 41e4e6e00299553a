"""A file in parts, each from its own checkpoint, is the file; tasks are threads here."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamsr.core.config import dump, parse
from streamsr.core.settings import PipelineSettings, StreamSettings
from streamsr.engine.engines import Engines
from streamsr.files.batch import Batch
from streamsr.files.plan import FileJob, planned
from streamsr.files.record import Record
from streamsr.files.upscaling import FileUpscaling, HereUpscaling
from streamsr.files.work import FileResult
from streamsr.fleet.archive.orders import Failed, Made, Order
from streamsr.fleet.archive.task import make_part
from streamsr.fleet.archive.upscaling import FleetUpscaling
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Card, FactsCard, Weights
from streamsr.zoo.weights import write_weights

WARMED_UP_DB = 50.0  # of what a recurrent network makes, to what it makes in one go
OPTIONS = {
    "num_feat": 8,
    "num_frame": 5,
    "deformable_groups": 2,
    "num_extract_block": 1,
    "num_reconstruct_block": 1,
}


@dataclass
class Threads:
    """Tasks that run in a thread; some are told otherwise than they were."""

    changed: Callable[[Order], Order] = lambda order: order
    begun: list[Order] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def begin(self, order: Order) -> Any:
        self.begun.append(order)
        return self._pool.submit(make_part, self.changed(order), "thread")

    def ended(self, tasks: Sequence[Any], within_s: float) -> set[Any]:
        return set(wait(tasks, within_s).done)

    def result(self, task: "Future[Made | Failed]") -> Made | Failed:
        return task.result()

    def cancel(self, tasks: Sequence[Any]) -> None:
        for task in tasks:
            task.cancel()


class Watched:
    """Hears what a batch says, and stops it once so many frames are done."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.said: list[str] = []
        self.batch: Batch | None = None
        self._stop_at = stop_at

    def begins(self, number: int, job: FileJob) -> None:
        pass

    def says(self, message: str) -> None:
        self.said.append(message)

    def is_at(self, number: int, frames: int, of: int | None) -> None:
        if self._stop_at is not None and frames >= self._stop_at:
            assert self.batch is not None
            self.batch.stop.set()

    def ends(self, number: int, result: FileResult) -> None:
        pass


def done(
    source: Path,
    out: Path,
    upscaling: FileUpscaling,
    watched: Watched | None = None,
    **groups: dict[str, Any],
) -> FileResult:
    """What a batch of one input comes to."""

    def settings_of(job: FileJob) -> StreamSettings:
        given = {"input": {"url": str(job.source)}, "output": {"path": out / job.output}}
        return parse(given | groups, PipelineSettings, "test")

    watched = watched or Watched()
    with Record(out) as record:
        jobs = planned([source], out, known=record.outputs).jobs
        watched.batch = Batch(jobs, out, record, upscaling, settings_of, watched)
        (result,) = watched.batch.run()
    return result


def done_here(source: Path, out: Path, **groups: dict[str, Any]) -> FileResult:
    with Engines(torch.device("cpu")) as engines:
        return done(source, out, HereUpscaling(engines), **groups)


def contents(path: Path) -> object:
    if path.is_dir():
        return [(one.name, one.read_bytes()) for one in sorted(path.iterdir())]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frames_of(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


@pytest.fixture(scope="module")
def edvr(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of a tiny network of windows of five frames."""
    folder = tmp_path_factory.mktemp("models") / "tiny-edvr"
    folder.mkdir()
    torch.manual_seed(1)
    network = EDVR(**OPTIONS).requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(std=max(1, parameter[0].numel()) ** -0.5)
    facts = FactsCard(scale=4, window=5, lookahead=2, colour=Colour.RGB, multiple=4)
    weights = Weights(sha256=write_weights(folder / WEIGHTS_NAME, network))
    card = Card(description="", network="edvr", options=OPTIONS, facts=facts, weights=weights)
    dump(card, folder / CARD_NAME)
    return str(folder)


@pytest.mark.parametrize("name", ["windows", "bicubic", "fast-small"])
def test_parts_are_the_file(
    name: str, edvr: str, clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = clip(width=48, height=32, seconds=2, gop=9, b_frames=2)
    groups = {
        "model": {"name": edvr if name == "windows" else name},
        "encoder": {"gop_s": 0.28},
        "limits": {"frames": 47},
    }
    tasks = Threads()
    result = done(source, tmp_path / "out", FleetUpscaling(tasks, "cpu", 0.5, 0), **groups)
    assert (result.state, result.frames) == ("done", 47), result.why
    assert len(tasks.begun) == 4
    done_here(source, tmp_path / "here", **groups)
    assert contents(tmp_path / "out" / source.name) == contents(tmp_path / "here" / source.name)


def test_images_are_made_in_parts_too(tmp_path: Path) -> None:
    source = tmp_path / "frames"
    source.mkdir()
    ramp = np.linspace(0, 255, 32 * 24 * 3).reshape(24, 32, 3)
    for number in range(30):
        cv2.imwrite(str(source / f"f{number}.png"), np.roll(ramp, number, 1).astype(np.uint8))
    groups = {"model": {"name": "bicubic"}, "encoder": {"gop_s": 0.4}}
    result = done(source, tmp_path / "out", FleetUpscaling(Threads(), "cpu", 0.4, 0), **groups)
    assert (result.state, result.frames) == ("done", 30), result.why
    done_here(source, tmp_path / "here", **groups)
    assert contents(tmp_path / "out/frames") == contents(tmp_path / "here/frames")


def test_stopped_it_goes_on_and_one_machine_goes_on_with_it(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    source, out = clip(width=48, height=32, seconds=2, gop=9), tmp_path / "out"
    groups = {"model": {"name": "bicubic"}, "encoder": {"gop_s": 0.2}}
    fleet = FleetUpscaling(Threads(), "cpu", 0.2, 0)
    for stop_at in (10, 30):
        assert done(source, out, fleet, Watched(stop_at), **groups).state == "stopped"
    result = done_here(source, out, **groups)
    assert (result.state, result.frames) == ("done", 50)
    assert result.upscaled < 50
    done_here(source, tmp_path / "here", **groups)
    assert contents(out / source.name) == contents(tmp_path / "here" / source.name)


def test_a_host_that_sees_something_else_is_named_with_what_it_sees(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = clip(width=48, height=32, seconds=1)
    cases: dict[str, Callable[[Order], Order]] = {
        "this host has not got that folder": lambda o: replace(o, mark="another"),
        "it is another one on this host: input was": lambda o: replace(
            o, identity=o.identity | {"input": "7 bytes"}
        ),
    }
    for number, (told, changed) in enumerate(cases.items()):
        fleet = FleetUpscaling(Threads(changed), "cpu", 1, 0)
        result = done(source, tmp_path / str(number), fleet, model={"name": "bicubic"})
        assert result.state == "failed"
        assert result.why.startswith("thread: ")
        assert told in result.why
        assert str(tmp_path / str(number)) in result.why or str(source) in result.why
        assert not (tmp_path / str(number) / source.name).exists()
    (result,) = [done(source, tmp_path / "0", FleetUpscaling(Threads(), "cpu", 1, 0))]
    assert result.state == "done"


def test_hosts_make_a_file_in_one_precision(clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip(width=48, height=32, seconds=1)
    groups = {"model": {"name": "fast-small"}, "encoder": {"gop_s": 0.2}}

    def changed(order: Order) -> Order:
        other = "float32" if order.part.begin.frames else "int8"
        return replace(order, precision=order.precision or other)

    tasks = Threads(changed)
    result = done(source, tmp_path / "out", FleetUpscaling(tasks, "cpu", 0.2, 0), **groups)
    assert (result.state, result.frames) == ("done", 25), result.why
    one = FleetUpscaling(Threads(lambda o: replace(o, precision="int8")), "cpu", 9, 0)
    done(source, tmp_path / "one", one, **groups)
    assert contents(tmp_path / "out" / source.name) == contents(tmp_path / "one" / source.name)


def test_a_recurrent_network_is_warmed_up(clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip(width=160, height=90, seconds=3, gop=30, b_frames=2)
    groups = {"model": {"name": "fast-camera"}, "encoder": {"gop_s": 0.4, "crf": 1}}
    result = done(source, tmp_path / "out", FleetUpscaling(Threads(), "cpu", 1.6, 0), **groups)
    assert (result.state, result.frames) == ("done", 75), result.why
    done_here(source, tmp_path / "here", **groups)
    made, whole = (frames_of(tmp_path / name / source.name) for name in ("out", "here"))
    error = np.square(made.astype(np.float64) - whole).mean((1, 2))
    assert np.all(error[:40] == 0)  # the first part
    assert 10 * np.log10(255**2 / max(error.max(), 1e-9)) > WARMED_UP_DB
