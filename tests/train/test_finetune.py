"""Fine-tuning: in the time it is given, better on footage it was not trained on, and it says so."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from synthetic import texture, write_clip
from tiny_models import model_folder

from streamsr.cli.training.train import train
from streamsr.core.config import dump, load
from streamsr.core.errors import ConfigError, InputError, ModelError, UserError
from streamsr.networks.int8 import runs_int8
from streamsr.train.finetune import TrainingTime, finetune
from streamsr.train.loop import Trainer
from streamsr.train.settings import TrainSettings
from streamsr.train.validation import Gains, Validator
from streamsr.zoo.card import Card
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import find

TRAINED = """
name = "wide"
steps = 1
batch = 2
sequence = 4
truncate = 2
[data]
train = "clips"
held_out = 0.2
patch = 32
[model]
description = "tiny"
network = "recurrent"
options = { features = 8, layers = 3, kept = 4 }
facts = { scale = 4, window = 2, lookahead = 0, colour = "luma" }
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of a fast network with fresh weights."""
    return model_folder(tmp_path / "models" / "tiny", "fast", 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A time in which a step takes a second, and scoring two: as many fit on every machine."""
    clock = SimpleNamespace(now=0.0)
    for module in ("finetune", "loop"):
        monkeypatch.setattr(f"streamsr.train.{module}.monotonic", lambda: clock.now)
    advance, gains = Trainer.advance, Validator.gains

    def step(trainer: Trainer, low: torch.Tensor, truth: torch.Tensor) -> float:
        clock.now += 1.0
        return advance(trainer, low, truth)

    def score(validator: Validator, network: torch.nn.Module) -> Gains:
        clock.now += 2.0
        return gains(validator, network)

    monkeypatch.setattr(Trainer, "advance", step)
    monkeypatch.setattr(Validator, "gains", score)
    return clock


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    folder = tmp_path / "garden"
    folder.mkdir()
    luma = texture(20, 208, 240, speed=4)[..., 1].clip(16, 235)
    write_clip(folder / "gate.mkv", luma)
    return folder


def test_it_gets_better_on_what_was_held_out(
    model: Path,
    footage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clock: SimpleNamespace,
) -> None:
    monkeypatch.chdir(tmp_path)
    train(init=str(model), data=footage, minutes=1, as_json=True)
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["improvement_db"] > 0
    assert result["improvement_db"] == result["gain_db"] - result["gain_before_db"]
    entry = find(result["model"] if "/" in result["model"] else f"./{result['model']}")
    assert (entry.name, entry.family) == ("tiny-garden", "tiny-garden")
    assert "trained further on clips of garden" in entry.card.origin.training
    load_model(entry, torch.device("cpu"))
    steps = result["steps"]
    more = {"name": "tiny-garden", "runs": Path("runs")}
    again = finetune(find(str(model)), footage, minutes=1, **more)  # type: ignore[arg-type]
    assert (again.steps, Path(result["model"])) == (steps, again.folder)  # it is done already
    longer = finetune(find(str(model)), footage, minutes=1.5, **more)  # type: ignore[arg-type]
    assert longer.steps > steps
    assert load(longer.folder / "train.toml", TrainSettings).steps == longer.steps


def test_the_time_is_kept_from_the_first_second(
    model: Path, footage: Path, tmp_path: Path, clock: SimpleNamespace
) -> None:
    """Reading and scoring count: where they are slow less is left to train in."""
    told: list[TrainingTime] = []
    tuned = finetune(
        find(str(model)), footage, minutes=2, name="slow", runs=tmp_path, report=told.append
    )
    assert 0.85 * 120 < clock.now <= 120
    assert told[-1].step == tuned.steps == len(told)
    assert told[-1].seconds <= told[-1].of_seconds + 2


@pytest.mark.parametrize("scale", [1, 2])
def test_a_familys_member_becomes_one_of_its_own_family(
    scale: int,
    model: Path,
    footage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    models = model.parent
    model_folder(models / "other", "fast", 1, family="tiny", scale=scale, fold=2)
    shown = {"models": [models], "data": footage, "minutes": 0, "as_json": True}
    train(init="tiny", scale=scale, name="gate", **shown)  # type: ignore[arg-type]
    tuned = find(json.loads(capsys.readouterr().out)["model"])
    assert (tuned.name, tuned.family, tuned.facts.scale) == (f"gate-x{scale}", "gate", scale)
    assert load(tuned.folder / "train.toml", TrainSettings).model.family == "gate"
    with pytest.raises(ModelError, match="got scale 3"):
        train(init="tiny", scale=3, **shown)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"fine-tuning of 'tiny': name: got 'a\.b'"):
        train(init="tiny", name="a.b", **shown)  # type: ignore[arg-type]


def test_a_time_that_is_over_while_clips_are_read_is_too_short(
    model: Path, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"--minutes 1e-06: too short: got as far as reading \w+;"):
        train(init=str(model), data=footage, minutes=1e-6)
    assert [*tmp_path.rglob("runs/**/card.toml")] == []


def test_a_recurrent_model_is_trained_as_it_was(
    footage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On sequences as long, cut as often, where its folder says how that was."""
    monkeypatch.chdir(tmp_path)
    folder = model_folder(tmp_path / "models" / "wide", "recurrent", 2, kept=4)
    (folder / "train.toml").write_text(TRAINED, encoding="utf-8")
    train(init=str(folder), data=footage, minutes=0, as_json=True)  # the fewest steps
    tuned = tmp_path / json.loads(capsys.readouterr().out)["model"]
    assert find(str(tuned)).facts.window == 2
    train(init=str(tuned), data=footage, minutes=0, as_json=True)
    again = tmp_path / json.loads(capsys.readouterr().out)["model"]
    for made in (tuned, again):
        config = load(made / "train.toml", TrainSettings)
        assert (config.batch, config.sequence, config.truncate) == (2, 4, 2)
        assert (config.data.patch, config.data.degrade) == (32, None)


def test_what_is_kept_is_the_best_of_all_between(
    model: Path,
    footage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: SimpleNamespace,
) -> None:
    """Where training went astray, up the gradient, little of it is kept."""
    monkeypatch.setattr(Trainer, "learning_rate", lambda trainer: -1e-3)
    tuned = finetune(find(str(model)), footage, minutes=1, name="astray", runs=tmp_path)
    state = torch.load(tmp_path / "astray" / "checkpoint.pt", weights_only=True)
    kept, start, end = (
        torch.cat([weights[f"{prefix}body.{n}.weight"].flatten() for n in range(3)])
        for weights, prefix in (
            (load_file(tuned.folder / "weights.safetensors"), ""),
            (load_file(model / "weights.safetensors"), ""),
            (state["average"], "module."),
        )
    )
    assert (kept - start).norm() < 0.3 * (end - start).norm()


def test_a_folder_without_clips_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="there is no clip here"):
        finetune(find(str(model)), tmp_path / "none", minutes=1, name="x", runs=tmp_path)


def test_other_clips_of_the_same_folder_begin_again(
    model: Path, footage: Path, tmp_path: Path, clock: SimpleNamespace
) -> None:
    """What is held out now may be what the run was trained on."""
    shown = {"minutes": 1, "name": "gate", "runs": tmp_path / "runs"}
    first = finetune(find(str(model)), footage, **shown)  # type: ignore[arg-type]
    luma = texture(24, 208, 240, seed=9, speed=2)[..., 1].clip(16, 235)
    write_clip(footage / "gate.mkv", luma)
    second = finetune(find(str(model)), footage, **shown)  # type: ignore[arg-type]
    assert not first.begun_again
    assert second.begun_again
    assert second.steps == first.steps  # in as much time again, and none of the first run's
    again = finetune(find(str(model)), footage, **shown)  # type: ignore[arg-type]
    assert (again.begun_again, again.steps) == (False, second.steps)


@pytest.mark.parametrize("ends", ["trains", "is chosen", "is judged"])
def test_a_run_that_ends_too_soon_leaves_the_former_model(
    ends: str,
    model: Path,
    footage: Path,
    tmp_path: Path,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = {"name": "gate", "runs": tmp_path / "runs"}
    made = finetune(find(str(model)), footage, minutes=0.5, **shown)  # type: ignore[arg-type]
    before = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    gains, scored = Validator.gains, iter(range(100))

    def interrupted(validator: Validator, network: torch.nn.Module) -> Gains:
        if next(scored) == {"trains": 0, "is chosen": 3, "is judged": 6}[ends]:
            raise KeyboardInterrupt
        return gains(validator, network)

    monkeypatch.setattr(Validator, "gains", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune(find(str(model)), footage, minutes=1, **shown)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in made.folder.iterdir()} == before
    assert [*(tmp_path / "runs").rglob("card.toml")] == [made.folder / "card.toml"]


def test_a_model_that_a_kill_left_beside_its_place_is_put_back(
    model: Path, footage: Path, tmp_path: Path, clock: SimpleNamespace
) -> None:
    shown = {"minutes": 0, "name": "gate", "runs": tmp_path / "runs"}
    made = finetune(find(str(model)), footage, **shown).folder  # type: ignore[arg-type]
    (made / "notes.txt").write_text("mine")
    (made.parent / ".new").mkdir()
    made.rename(made.parent / ".new" / ".former")
    finetune(find(str(model)), footage, **shown)  # type: ignore[arg-type]
    load_model(find(str(made)), torch.device("cpu"))
    assert (made / "notes.txt").read_text() == "mine"
    assert not (made.parent / ".new").exists()


@pytest.mark.skipif(not runs_int8(), reason="this CPU has no AVX2")
@pytest.mark.parametrize(("network", "window"), [("fast", 1), ("recurrent", 2)])
def test_what_runs_in_integers_is_judged_as_in_floats(
    network: str, window: int, footage: Path, tmp_path: Path, clock: SimpleNamespace
) -> None:
    options = {"kept": 4} if network == "recurrent" else {}
    folder = model_folder(tmp_path / "models" / network, network, window, **options)
    shown = {"minutes": 0, "runs": tmp_path / "runs"}
    floats = finetune(find(str(folder)), footage, name="floats", **shown)  # type: ignore[arg-type]
    card = load(folder / "card.toml", Card)
    dump(card.model_copy(update={"precision": "int8"}), folder / "card.toml")
    ours = finetune(find(str(folder)), footage, name="ours", **shown)  # type: ignore[arg-type]
    assert load_model(find(str(ours.folder)), torch.device("cpu")).precision == "int8"
    for one, other in ((ours.before, floats.before), (ours.after, floats.after)):
        assert abs(one.psnr - other.psnr) < 0.5
