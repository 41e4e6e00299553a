"""The training loop: it learns, goes on to the bit where it stopped, and leaves a model behind."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import texture, write_clip
from tiny_models import FAST
from torch import Tensor, nn

import streamsr
from streamsr.core.config import load, parse
from streamsr.core.errors import ConfigError, ModelError, UserError
from streamsr.media.images import read_image
from streamsr.networks.resample import resize
from streamsr.train.loop import Trainer, charbonnier, flicker
from streamsr.train.network import unrolled
from streamsr.train.run_log import Progress
from streamsr.train.settings import DegradeSettings, TrainSettings
from streamsr.zoo.loading import NETWORKS, load_model
from streamsr.zoo.registry import find


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``train`` and ``valid``: textures that move two pixels a frame."""
    folder = tmp_path_factory.mktemp("clips")
    for name, seed in (("train/a", 1), ("train/b", 2), ("valid/c", 3)):
        path = folder / f"{name}.mkv"
        path.parent.mkdir(exist_ok=True)
        write_clip(path, texture(8, 72, 80, seed=seed, speed=2)[..., 1].clip(16, 235))
    return folder


def settings(clips: Path, tmp_path: Path, **changes: Any) -> TrainSettings:
    data = {
        "name": "tiny",
        "runs": str(tmp_path / "runs"),
        "model": FAST,
        "data": {
            "train": str(clips / "train"),
            "valid": str(clips / "valid"),
            "cache": str(tmp_path / "cache"),
            "patch": 16,
            "valid_frames": 3,
        },
        "steps": 40,
        "batch": 2,
        "learning_rate": 0.1,
        "precision": "float32",
        "ema_decay": 0.9,
        "valid_every": 10,
        "save_every": 20,
    }
    return parse(data | changes, TrainSettings, "test")


def ignore(progress: Progress) -> None:
    """Take no notice."""


class PowerCutError(Exception):
    """What ends a run in the middle."""


def stop_at(step: int) -> Any:
    def report(progress: Progress) -> None:
        if progress.step == step:
            raise PowerCutError

    return report


def logged(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def check_resumed(whole: TrainSettings, parts: TrainSettings, stop: int, begun: int) -> None:
    """Checks that a run that stops, and goes on after ``begun`` steps, ends as one in one go."""
    expected = Trainer(whole).run(ignore)
    with pytest.raises(PowerCutError):
        Trainer(parts).run(stop_at(stop))
    torch.rand(7)  # another process has another random state
    resumed = Trainer(parts)
    assert resumed.step == begun
    folder = resumed.run(ignore)
    one, other = ((f / "weights.safetensors").read_bytes() for f in (expected, folder))
    assert one == other
    assert logged(expected.parent) == logged(folder.parent)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("stop", [8, 11, 15])
def test_a_run_goes_on_to_the_bit(clips: Path, tmp_path: Path, precision: str, stop: int) -> None:
    """16 steps in one go are 8 and 8, also where it stopped some steps after a checkpoint."""
    changes = {"precision": precision, "steps": 16, "save_every": 8, "valid_every": 8}
    whole, parts = (settings(clips, tmp_path, name=n, **changes) for n in ("whole", "parts"))
    check_resumed(whole, parts, stop, 8)


WINDOWED = {
    "facts": {"scale": 2, "window": 3, "lookahead": 1, "colour": "luma"},
    "options": {"features": 8, "layers": 3, "scale": 2, "window": 3, "lookahead": 1},
}
RECURRENT = {
    "network": "recurrent",
    "facts": {"scale": 2, "window": 2, "lookahead": 0, "colour": "luma"},
    "options": {"features": 8, "layers": 3, "scale": 2, "kept": 4},
}


@pytest.mark.parametrize("network", [WINDOWED, RECURRENT], ids=["windowed", "recurrent"])
def test_a_run_of_sequences_goes_on_to_the_bit(
    clips: Path, tmp_path: Path, network: dict[str, Any]
) -> None:
    """Of coded frames in a row, with the temporal term: everything a run can hold."""
    changes: dict[str, Any] = {
        "model": FAST | network,
        "sequence": 5,
        "truncate": 2,
        "gradient_norm": 0.1,
        "steps": 20,
        "save_every": 10,
        "valid_every": 10,
        "loss": "l2",
        "temporal": 0.5,
        "precision": "bfloat16",
        "learning_rate": 1e-3,
    }
    whole, parts = (
        coded(settings(clips, tmp_path, name=name, **changes)) for name in ("whole", "parts")
    )
    check_resumed(whole, parts, 13, 10)


def coded(run: TrainSettings) -> TrainSettings:
    """The run on coded clips."""
    degrade = DegradeSettings(codings=2, codecs=("h264",), kbit_s=(500.0, 4000.0))
    return run.model_copy(update={"data": run.data.model_copy(update={"degrade": degrade})})


def test_a_run_says_what_it_is_made_with_and_leaves_the_users_own_file(
    clips: Path, tmp_path: Path
) -> None:
    Trainer(settings(clips, tmp_path, steps=4))  # interrupted before its first checkpoint
    written = tmp_path / "runs" / "tiny" / "train.toml"
    assert load(written, TrainSettings).steps == 4
    Trainer(settings(clips, tmp_path, steps=6))
    assert load(written, TrainSettings).steps == 6
    written.write_text(text := "# mine\n" + written.read_text())
    Trainer(settings(clips, tmp_path, steps=6))
    assert written.read_text() == text


def test_a_run_leaves_images_of_itself(clips: Path, tmp_path: Path) -> None:
    trainer = Trainer(coded(settings(clips, tmp_path, steps=4, valid_every=2)))
    trainer.run(ignore)
    folder = tmp_path / "runs" / "tiny"
    for where in (folder, folder / "tiny"):
        assert load(where / "train.toml", TrainSettings) == trainer.settings
    assert read_image(folder / "curves.png").width > 500
    assert read_image(folder / "crops.png").width == 3 * (80 + 6)
    lines = logged(folder)
    assert all(line["worst_db"] <= line["gain_db"] for line in lines)


def test_a_run_goes_on_without_charts_where_matplotlib_is_missing(
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    Trainer(settings(clips, tmp_path, steps=2)).run(ignore)
    folder = tmp_path / "runs" / "tiny"
    assert (folder / "crops.png").exists()
    assert not (folder / "curves.png").exists()
    assert "curves.png is not drawn: charts need matplotlib" in caplog.text


def test_a_steady_output_costs_less(clips: Path, tmp_path: Path) -> None:
    """The temporal term looks at what changes, and at nothing else."""
    trainer = Trainer(settings(clips, tmp_path, temporal=1.0))
    low, truth = trainer.crops.at(0)
    assert low.shape[1] == truth.shape[1] == 2

    class Off(nn.Module):
        """Bicubic and an error: of the same size in every frame, with the same sign or not."""

        def __init__(self, steady: bool) -> None:
            super().__init__()
            self.steady = steady

        def forward(self, x: Tensor) -> Tensor:
            error = torch.full((len(x), 1, 1, 1), 0.1)
            if not self.steady:
                error[len(x) // 2 :] *= -1
            return resize(x[:, 0], 2) + error

    losses = []
    for steady in (True, False):
        ((outputs, _),) = unrolled(Off(steady), trainer.facts, low, 2)
        losses.append(float(flicker(outputs, truth)))
    assert losses[1] > losses[0] + 0.1


@pytest.mark.parametrize("truncate", [1, 2])
def test_the_temporal_term_looks_across_where_gradients_are_cut(
    clips: Path, tmp_path: Path, truncate: int
) -> None:
    losses = []
    for temporal in (0.0, 1.0):
        run = settings(
            clips,
            tmp_path,
            name=f"temporal-{temporal:g}",
            model=FAST | RECURRENT,
            sequence=4,
            truncate=truncate,
            temporal=temporal,
        )
        trainer = Trainer(run)
        losses.append(trainer.advance(*trainer.crops.at(0)))
    assert abs(losses[1] - losses[0]) > 0.1


def test_a_step_that_is_not_finite_ends_the_run_and_harms_nothing(
    clips: Path, tmp_path: Path
) -> None:
    trainer = Trainer(settings(clips, tmp_path, gradient_norm=0.1))
    low, truth = trainer.crops.at(0)
    with pytest.raises(UserError, match=r"step 0: got a loss of nan .* lower learning_rate"):
        trainer.advance(low * float("nan"), truth)
    assert all(bool(p.isfinite().all()) for p in trainer.network.parameters())


def test_stills_are_long_enough_or_refused(clips: Path, tmp_path: Path) -> None:
    whole = settings(clips, tmp_path).data.model_dump(mode="json", exclude_none=True)
    data = whole | {"stills": "stills"}
    with pytest.raises(ConfigError, match="got 25, allowed with stills is 24 at most"):
        settings(clips, tmp_path, sequence=25, data=data)


def test_a_run_may_start_from_a_model(clips: Path, tmp_path: Path) -> None:
    first = Trainer(settings(clips, tmp_path, name="first", steps=30, valid_every=30)).run(ignore)
    again = settings(clips, tmp_path, name="again", steps=1, init=str(first), learning_rate=1e-9)
    Trainer(again).run(ignore)
    reached = logged(tmp_path / "runs" / "first")[-1]["gain_db"]
    lines = logged(tmp_path / "runs" / "again")
    assert [(line["step"], line["loss"] is None) for line in lines] == [(0, True), (1, False)]
    assert lines[0]["gain_db"] == pytest.approx(reached, abs=0.02)


class Shuffle(nn.Module):
    """Somebody else's network: R'G'B', twice as large."""

    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, features, 3, padding=1), nn.Conv2d(features, 12, 1)

    def forward(self, window: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.last(self.first(window[:, 0]).relu()), 2)


def test_a_network_of_somebody_elses_is_trained_and_goes_further(
    clips: Path, tmp_path: Path
) -> None:
    facts = {"scale": 2, "window": 1, "lookahead": 0, "colour": "rgb"}
    model = {"description": "theirs", "network": "shuffled", "facts": facts}
    run = settings(clips, tmp_path, model=model, steps=10, learning_rate=0.01)
    with streamsr.register_network("shuffled", Shuffle):
        folder = Trainer(run).run(ignore)
        assert [line["step"] for line in logged(folder.parent)][-1] == 10
        more = run.model_copy(update={"name": "more", "init": str(folder), "steps": 11})
        further = Trainer(more).run(ignore)
        with streamsr.Upscaler(further, device="cpu") as upscaler:
            assert upscaler(np.zeros((8, 8, 3), np.uint8)).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"facts": {"scale": 3}}, r"got \(1, 3, 32, 32\) of a window .* state \(1, 3, 48, 48\)"),
        ({"facts": {"window": 3, "colour": "luma"}}, "RuntimeError: Given groups=1"),
        ({"options": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ({"network": "fast", "options": {"scale": 4}}, "its card does not fit it"),
    ],
)
def test_a_network_that_is_not_what_its_facts_say_trains_nothing(
    clips: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    facts = {"scale": 2, "window": 1, "lookahead": 0, "colour": "rgb"}
    model = {"network": "shuffled", **change, "facts": facts | change.get("facts", {})}
    run = settings(clips, tmp_path, model={"description": "theirs"} | model)
    with (
        streamsr.register_network("shuffled", Shuffle),
        pytest.raises(ModelError, match=words),
    ):
        Trainer(run)
    assert not (tmp_path / "runs").exists()


def test_what_a_network_cannot_be_trained_on_is_refused(clips: Path, tmp_path: Path) -> None:
    facts = FAST["facts"] | {"multiple": 3}  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"data.patch: got 16, allowed are multiples of 3"):
        settings(clips, tmp_path, model=FAST | {"facts": facts})
    same = {"options": {"scale": 1}, "facts": facts | {"scale": 1, "multiple": 1}}
    with pytest.raises(ConfigError, match=r"got 1 without \[data.degrade\] or data.low"):
        settings(clips, tmp_path, model=FAST | same)


def test_a_wider_window_starts_where_the_narrow_one_was(clips: Path, tmp_path: Path) -> None:
    first = Trainer(settings(clips, tmp_path, name="first", steps=20)).run(ignore)
    facts = {"scale": 2, "window": 3, "lookahead": 1, "colour": "luma"}
    options = FAST["options"] | {"window": 3, "lookahead": 1}  # type: ignore[operator]
    model = FAST | {"facts": facts, "options": options}
    wide = Trainer(settings(clips, tmp_path, name="wide", model=model, init=str(first)))
    entry = find(str(first))
    narrow = load_model(entry, torch.device("cpu")).network
    window = torch.rand(1, 3, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(wide.network(window), narrow(window[:, 1:2]))
    smaller = FAST | {"options": options | {"features": 4}, "facts": facts}
    with pytest.raises(ModelError, match="'first': the model's network is another"):
        Trainer(settings(clips, tmp_path, name="x", init=str(first), model=smaller))
    with pytest.raises(ModelError, match="no weights to start from"):
        Trainer(settings(clips, tmp_path, name="x", init="bicubic"))


def test_a_network_of_one_frame_starts_as_a_recurrent_one_that_remembers_nothing(
    clips: Path, tmp_path: Path
) -> None:
    facts = {"scale": 2, "window": 2, "lookahead": 0, "colour": "luma"}
    options = FAST["options"] | {"kept": 4}  # type: ignore[operator]
    recurrent = FAST | {"network": "recurrent", "options": options, "facts": facts}
    changes: dict[str, Any] = {"sequence": 2, "steps": 20, "learning_rate": 0.01}
    first = Trainer(settings(clips, tmp_path, name="first", model=recurrent, **changes)).run(ignore)
    alone = Trainer(settings(clips, tmp_path, name="alone", init=str(first)))
    taught = load_model(find(str(first)), torch.device("cpu")).network
    frame = torch.rand(1, 1, 1, 40, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted, _ = taught(frame.expand(1, 2, 1, 40, 48), taught.fresh(1, 40, 48))
        made = alone.network(frame)
    inside = (..., slice(12, -12), slice(12, -12))  # outside of the frame it sees grey, not black
    difference = (made - wanted)[inside]  # and so does the mean that is kept
    torch.testing.assert_close(difference, difference.mean().expand_as(difference))
    assert (wanted - resize(frame[:, 0], 2))[inside].std() > 0.001


def test_a_finished_run_only_exports_again(clips: Path, tmp_path: Path) -> None:
    short = settings(clips, tmp_path, steps=2)
    folder = Trainer(short).run(ignore)
    before = (folder / "weights.safetensors").read_bytes()
    seen: list[Progress] = []
    assert Trainer(short).run(seen.append) == folder
    assert seen == []
    assert (folder / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 1}, "seed"), ({"batch": 3, "steps": 50}, "batch"), ({"ema_decay": 0.5}, "ema")],
)
def test_other_settings_are_not_gone_on_with(
    clips: Path, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    Trainer(settings(clips, tmp_path, steps=2)).run(ignore)
    with pytest.raises(UserError, match="started with other settings") as caught:
        Trainer(settings(clips, tmp_path, **{"steps": 2} | changes))
    assert named in str(caught.value)


def test_it_learns_and_says_so(clips: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    trainer = Trainer(settings(clips, tmp_path, steps=90, valid_every=30))
    trainer.run(seen.append)
    assert [p.step for p in seen] == list(range(1, 91))
    losses = [p.loss for p in seen]
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])
    measured = [p for p in seen if p.psnr_db is not None]
    assert [p.step for p in measured] == [30, 60, 90]
    assert measured[-1].gain_db is not None
    assert measured[-1].gain_db > 0.8  # dB over bicubic, on a clip it never saw
    lines = logged(tmp_path / "runs" / "tiny")
    assert [line["step"] for line in lines] == [30, 60, 90]
    assert [line["psnr_db"] for line in lines] == [p.psnr_db for p in measured]
    assert [line["gain_db"] for line in lines] == [p.gain_db for p in measured]
    assert lines[0]["loss"] == pytest.approx(sum(losses[:29]) / 29, rel=0.1)
    assert 0 < lines[-1]["learning_rate"] < 1e-6 < lines[0]["learning_rate"]  # a cosine to its end


def test_what_comes_out_is_a_model(clips: Path, tmp_path: Path) -> None:
    trainer = Trainer(settings(clips, tmp_path, steps=5))
    folder = trainer.run(ignore)
    entry = find(str(folder))
    assert entry.name == "tiny"
    assert entry.card.origin.licence == "MIT"
    loaded = load_model(entry, torch.device("cpu"))
    frame = torch.rand(1, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    ((_, output),), _ = loaded.step(frame, loaded.start(1, 12, 16))
    with torch.inference_mode():
        wanted = trainer.average.module(frame[None])[0]
    torch.testing.assert_close(output, wanted)
    assert not torch.equal(
        trainer.average.module.body[0].weight, trainer.network.body[0].weight
    )  # what is exported is the average


class Pick(nn.Module):
    """Bicubic of one frame of its window: right for a reference there, wrong for any other."""

    def __init__(self, frame: int) -> None:
        super().__init__()
        self.frame = frame
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return resize(x[:, self.frame], 2) * self.gain


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_the_middle_of_a_window_is_what_counts(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: int
) -> None:
    monkeypatch.setitem(NETWORKS, "pick", Pick)
    facts = {"scale": 2, "window": 3, "lookahead": 1, "colour": "luma"}
    model = FAST | {"network": "pick", "options": {"frame": frame}, "facts": facts}
    run = settings(clips, tmp_path, model=model, steps=1, learning_rate=1e-9)
    seen: list[Progress] = []
    Trainer(run).run(seen.append)
    assert seen[0].gain_db is not None
    if frame == 1:
        assert seen[0].gain_db == pytest.approx(0, abs=1e-6)
        assert seen[0].loss < 0.05
    else:
        assert seen[0].gain_db < -1
        assert seen[0].loss > 0.08


def test_a_recurrent_network_learns_and_is_a_model(clips: Path, tmp_path: Path) -> None:
    options = {"options": RECURRENT["options"] | {"features": 8}}
    run = settings(
        clips,
        tmp_path,
        model=FAST | RECURRENT | options,
        steps=100,
        sequence=3,
        learning_rate=2e-2,
        gradient_norm=0.1,
        valid_every=50,
    )
    folder = Trainer(run).run(ignore)
    lines = logged(tmp_path / "runs" / "tiny")
    assert lines[-1]["gain_db"] > max(0.3, lines[0]["gain_db"])
    model = load_model(find(str(folder)), torch.device("cpu"))
    state = model.start(1, 16, 16)
    assert [len(model.step(torch.rand(1, 1, 16, 16), state)[0]) for _ in range(3)] == [1, 1, 1]


def test_windows_train_edvr(clips: Path, tmp_path: Path) -> None:
    options = {
        "num_feat": 8,
        "deformable_groups": 2,
        "num_frame": 3,
        "num_extract_block": 1,
        "num_reconstruct_block": 1,
    }
    facts = {"scale": 4, "window": 3, "lookahead": 1, "colour": "rgb", "multiple": 4}
    model = FAST | {"network": "edvr", "options": options, "facts": facts}
    folder = Trainer(settings(clips, tmp_path, model=model, steps=2, batch=1)).run(ignore)
    loaded = load_model(find(str(folder)), torch.device("cpu"))
    assert loaded.facts.lookahead == 1
    with pytest.raises(ModelError, match="'tiny': the model's network is another"):
        Trainer(settings(clips, tmp_path, name="fast", init=str(folder)))


def test_charbonnier_is_a_smooth_distance() -> None:
    one = torch.tensor([0.0, 3.0], dtype=torch.float64)
    assert charbonnier(one, one).item() == pytest.approx(1e-3)
    assert charbonnier(one, one + 2).item() == pytest.approx(2, abs=1e-6)
