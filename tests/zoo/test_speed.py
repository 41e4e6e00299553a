"""What models cost here, by short trials, and the precision that costs least."""

from pathlib import Path

import pytest
import torch
from model_folders import edit, model

from streamsr.core.errors import ModelError
from streamsr.networks.sliding import Ready, SlidingWindow
from streamsr.zoo.card import CARD_NAME
from streamsr.zoo.loading import precisions_of
from streamsr.zoo.measured import Measured
from streamsr.zoo.registry import Entry, find
from streamsr.zoo.speed import Speed

CPU = torch.device("cpu")


@pytest.fixture
def kept(tmp_path: Path) -> Measured:
    return Measured(tmp_path / "cache")


def entry(folder: Path, **more: object) -> Entry:
    """A small network that may run in any precision."""
    made = model(folder, **more)  # type: ignore[arg-type]
    edit(made, 'precision = "float32"', 'precision = "int8"')
    return find(str(made))


def test_the_quickest_precision_is_that_which_costs_least(
    tmp_path: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = entry(tmp_path / "mine")
    able = precisions_of(one.card, CPU)
    for winner in able:
        figures = {precision: 2.0 + (precision != winner) for precision in able}
        monkeypatch.setattr(Speed, "_trial", lambda self, m, f=figures: f[m.precision])
        costs = Speed(CPU, Measured(tmp_path / winner))
        assert costs.quickest(one) == winner
        assert costs.seconds_a_pixel(one) == 2.0


def test_a_larger_network_costs_more(tmp_path: Path, kept: Measured) -> None:
    small = entry(tmp_path / "small")
    large = entry(tmp_path / "large", options={"features": 32, "layers": 9, "scale": 2})
    costs = Speed(CPU, kept)
    assert 0 < 3 * costs.seconds_a_pixel(small) < costs.seconds_a_pixel(large) < 1e-3


def test_recurrent_networks_and_filters_cost_something_too(kept: Measured) -> None:
    costs = Speed(CPU, kept)
    filtered, recurrent = (costs.seconds_a_pixel(find(name)) for name in ("bicubic", "fast"))
    assert 0 < filtered < recurrent


def test_models_of_one_shape_are_measured_once(
    tmp_path: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials: list[str] = []

    def trial(self: Speed, model: SlidingWindow) -> float:
        trials.append(model.precision)
        return 1.0

    monkeypatch.setattr(Speed, "_trial", trial)
    costs = Speed(CPU, kept)
    for name in ("one", "other"):
        costs.seconds_a_pixel(entry(tmp_path / name), "float32")
    costs.seconds_a_pixel(
        entry(tmp_path / "deeper", options={"features": 4, "layers": 3, "scale": 2}), "float32"
    )
    assert trials == ["float32"] * 2


def test_a_trial_leaves_the_threads_of_torch_as_they_are(tmp_path: Path, kept: Measured) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        Speed(CPU, kept).seconds_a_pixel(entry(tmp_path / "mine"), "float32")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_a_trial_that_fails_is_the_models(
    tmp_path: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial(self: Speed, model: SlidingWindow) -> float:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Speed, "_trial", trial)
    with pytest.raises(ModelError, match="'mine': its trial failed: out of memory"):
        Speed(CPU, kept).seconds_a_pixel(entry(tmp_path / "mine"))


def test_a_model_that_cannot_be_loaded_is_not_measured(tmp_path: Path, kept: Measured) -> None:
    folder = model(tmp_path / "mine")
    edit(folder, "scale = 2\nwindow", "scale = 4\nwindow")
    with pytest.raises(ModelError, match="'mine': its card does not fit it"):
        Speed(CPU, kept).seconds_a_pixel(find(str(folder)))
    assert (folder / CARD_NAME).is_file()


def test_a_trial_is_given_up_at_its_next_window(
    tmp_path: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, seconds, asked = entry(tmp_path / "mine"), Speed._seconds, []

    def closing(self: Speed, model: SlidingWindow, window: Ready) -> float:
        asked.append(model.precision)
        spent = seconds(self, model, window)
        self.close()
        return spent

    monkeypatch.setattr(Speed, "_seconds", closing)
    with pytest.raises(ModelError, match="its trial was given up"):
        Speed(CPU, kept).seconds_a_pixel(one)
    assert len(asked) == 2, "another precision is not begun with"
    monkeypatch.undo()
    assert Speed(CPU, kept).seconds_a_pixel(one) > 0, "nothing of it is kept"
