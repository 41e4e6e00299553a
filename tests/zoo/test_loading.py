"""Loading models; what does not fit its card is refused before a stream starts."""

from pathlib import Path

import pytest
import torch
from model_folders import LUMA_X2, edit, model

from streamsr.core.errors import ModelError
from streamsr.networks.facts import Colour
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import Int8Convolutions, runs_int8
from streamsr.zoo import loading
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Card, FactsCard, Weights
from streamsr.zoo.loading import load_model, make_network
from streamsr.zoo.registry import Entry, find
from streamsr.zoo.weights import write_weights

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["bicubic", "fast", "lanczos"])
def test_the_models_that_come_along_upscale(name: str) -> None:
    loaded = load_model(find(name), CPU)
    grey = torch.full((1, loaded.facts.colour.channels, 12, 16), 0.4)
    ((_, output),), _ = loaded.step(grey, loaded.start(1, 12, 16))
    assert output.shape == (1, 48, 64)
    assert output.dtype is torch.float32
    assert (output[0, 16:-16, 16:-16] - 0.4).abs().max() < 0.03


def test_an_unknown_network_gets_the_nearest(tmp_path: Path) -> None:
    folder = model(tmp_path / "mine")
    edit(folder, 'network = "fast"', 'network = "fsat"')
    with pytest.raises(ModelError, match=r"got 'fsat' \(did you mean 'fast'\?\), allowed are edvr"):
        load_model(find(str(folder)), CPU)


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ("fast", "features = 4\nlayers = 2\nscale = 2\nlayrs = 3", "layrs"),
        ("resample", 'kernel = "spline"', "got 'spline', allowed are bicubic, lanczos"),
        ("resample", "kernel = 5", "kernel"),
    ],
)
def test_wrong_options_of_a_network(tmp_path: Path, network: str, options: str, said: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / CARD_NAME).write_text(
        f'description = ""\nnetwork = "{network}"\n[options]\n{options}\n'
        '[facts]\nscale = 4\nwindow = 1\nlookahead = 0\ncolour = "luma"\n',
        encoding="utf-8",
    )
    with pytest.raises(ModelError, match="options of network") as caught:
        make_network(find(str(folder)).card)
    assert said in str(caught.value)


def test_parameters_without_weights_are_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "mine")
    text = (folder / CARD_NAME).read_text(encoding="utf-8")
    start = text.index("[weights]")
    rest = text.find("\n[", start + 1)
    (folder / CARD_NAME).write_text(text[:start] + (text[rest:] if rest > 0 else ""), "utf-8")
    with pytest.raises(ModelError, match="names no weights"):
        load_model(find(str(folder)), CPU)


def test_weights_that_are_gone_or_other_ones(tmp_path: Path) -> None:
    folder = model(tmp_path / "mine")
    data = (folder / WEIGHTS_NAME).read_bytes()
    (folder / WEIGHTS_NAME).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="SHA-256"):
        load_model(find(str(folder)), CPU)
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(find(str(folder)), CPU)


@pytest.mark.parametrize(
    "facts",
    [
        {"scale": 4},
        {"scale": 1},
        {"colour": Colour.RGB},
        {"window": 3, "lookahead": 0},  # a centred window looks one ahead
    ],
    ids=str,
)
def test_facts_that_are_not_the_networks(tmp_path: Path, facts: dict[str, object]) -> None:
    folder = model(tmp_path / "mine", facts=LUMA_X2.model_copy(update=facts))
    with pytest.raises(ModelError, match="'mine'"):
        load_model(find(str(folder)), CPU)


def test_facts_are_tried_at_sizes_that_the_network_takes(tmp_path: Path) -> None:
    options: dict[str, bool | int | str] = {
        "num_feat": 8, "deformable_groups": 2, "num_frame": 3, "num_extract_block": 1,
        "num_reconstruct_block": 1,
    }  # fmt: skip
    facts = FactsCard(scale=4, window=3, lookahead=1, colour=Colour.RGB, multiple=4)
    card = Card(description="", network="edvr", options=options, facts=facts)
    folder = tmp_path / "tiny"
    folder.mkdir()
    sha256 = write_weights(folder / WEIGHTS_NAME, make_network(card))
    right = card.model_copy(update={"weights": Weights(sha256=sha256)})
    assert load_model(Entry("tiny", folder, right), CPU).facts.window == 3
    wrong = facts.model_copy(update={"window": 5, "lookahead": 2})
    with pytest.raises(ModelError, match="'tiny'"):
        load_model(Entry("tiny", folder, right.model_copy(update={"facts": wrong})), CPU)


def test_a_loaded_network_is_ready_to_run_not_to_train() -> None:
    network = load_model(find("fast"), CPU).network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("amx", "vnni", "bfloat16"),
    [(True, True, True), (False, False, True), (False, False, False)],
    ids=["AMX", "no VNNI", "neither"],
)
def test_what_is_for_int8_runs_in_floats_elsewhere(
    monkeypatch: pytest.MonkeyPatch, amx: bool, vnni: bool, bfloat16: bool
) -> None:
    monkeypatch.setattr(loading, "has_amx", lambda: amx)
    monkeypatch.setattr(loading, "runs_int8", lambda: vnni)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bfloat16})
    first = next(load_model(find("fast-small"), CPU).network.parameters())
    assert first.dtype == (torch.bfloat16 if bfloat16 else torch.float32)


@pytest.mark.skipif(not runs_int8(), reason="this CPU has no VNNI")
def test_int8_runs_on_a_cpu_that_has_nothing_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "has_amx", lambda: False)
    network = load_model(find("fast-small"), CPU).network
    assert isinstance(network, Fast)
    assert isinstance(network.body, Int8Convolutions)
