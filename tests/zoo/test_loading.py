"""Loading models; what does not fit its card is refused before a stream starts."""

from pathlib import Path

import pytest
import torch
from model_folders import LUMA_X2, edit, model

from streamsr.core.errors import ModelError
from streamsr.networks.facts import Colour
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import Int8Convolutions, runs_int8
from streamsr.networks.recurrent_int8 import Int8Recurrent
from streamsr.zoo import loading
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Card, FactsCard, Weights
from streamsr.zoo.loading import load_model, make_network, precisions_of
from streamsr.zoo.registry import Entry, find
from streamsr.zoo.weights import write_weights

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["bicubic", "fast", "lanczos"])
def test_the_models_that_come_along_upscale(name: str) -> None:
    loaded = load_model(find(name), CPU)
    grey = torch.full((1, loaded.facts.colour.channels, 12, 16), 0.4)
    ((_, output),), _ = loaded.step(grey, loaded.start(1, 12, 16))
    assert output.shape == (1, 48, 64)
    levels = 255 if output.dtype is torch.uint8 else 1  # of a recurrent network in integers
    assert (output[0, 16:-16, 16:-16] / levels - 0.4).abs().max() < 0.03


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
    ("lowest", "can", "integers", "able"),
    [
        ("int8", {"avx512_bf16": True}, True, "float32 bfloat16 int8"),
        ("int8", {"amx_bf16": True}, False, "float32 bfloat16"),
        ("int8", {}, True, "float32 int8"),
        ("int8", {}, False, "float32"),
        ("bfloat16", {"avx512_bf16": True}, True, "float32 bfloat16"),
        ("float32", {"avx512_bf16": True}, True, "float32"),
    ],
)
def test_a_card_and_a_cpu_allow_precisions(
    monkeypatch: pytest.MonkeyPatch, lowest: str, can: dict[str, bool], integers: bool, able: str
) -> None:
    monkeypatch.setattr(loading, "runs_int8", lambda: integers)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    card = find("fast-small").card.model_copy(update={"precision": lowest})
    assert " ".join(precisions_of(card, CPU)) == able


def test_a_gpu_runs_no_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    card = find("fast-small").card
    assert precisions_of(card, torch.device("cuda:0")) == ("float32", "bfloat16")


def test_a_model_runs_in_the_precision_asked_for() -> None:
    for precision in precisions_of(find("fast-small").card, CPU):
        loaded = load_model(find("fast-small"), CPU, precision)
        first = next(loaded.network.parameters(), None)
        assert loaded.precision == precision
        assert precision == (str(first.dtype)[6:] if first is not None else "int8")


def test_a_precision_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(ModelError, match="'bicubic': precision: got 'int8', allowed here are flo"):
        load_model(find("bicubic"), CPU, "int8")


@pytest.mark.skipif(not runs_int8(), reason="this CPU has no AVX2")
def test_the_lowest_precision_is_taken() -> None:
    single = load_model(find("fast-small"), CPU)
    assert single.precision == "int8"
    assert isinstance(single.network, Fast)
    assert isinstance(single.network.body, Int8Convolutions)
    card = find("fast").card.model_copy(update={"precision": "int8"})
    recurrent = load_model(Entry("fast", find("fast").folder, card), CPU)
    assert isinstance(recurrent.network, Int8Recurrent)
