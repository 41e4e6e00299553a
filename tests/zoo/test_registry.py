"""Finding models by name and loading them; what does not fit is refused before a stream starts."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from streamsr.core.config import dump
from streamsr.core.errors import ModelError
from streamsr.networks.facts import Colour
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import Int8Convolutions, runs_int8
from streamsr.zoo import loading
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Card, FactsCard, Weights
from streamsr.zoo.loading import load_model, make_network
from streamsr.zoo.registry import Entry, find, listing
from streamsr.zoo.weights import write_weights

CPU = torch.device("cpu")
LUMA_X2 = FactsCard(scale=2, window=1, lookahead=0, colour=Colour.LUMA)


def model(
    folder: Path,
    *,
    network: str = "fast",
    options: dict[str, bool | int | str] | None = None,
    facts: FactsCard = LUMA_X2,
    description: str = "for tests",
) -> Path:
    """A model folder whose weights fit its network, whatever its facts say."""
    folder.mkdir(parents=True)
    options = {"features": 4, "layers": 2, "scale": 2} if options is None else options
    card = Card(description=description, network=network, options=options, facts=facts)
    if network == "fast":
        sha256 = write_weights(folder / WEIGHTS_NAME, Fast(**options))  # type: ignore[arg-type]
        card = card.model_copy(update={"weights": Weights(sha256=sha256)})
    dump(card, folder / CARD_NAME)
    return folder


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / CARD_NAME
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_finding_models_needs_neither_torch_nor_numpy() -> None:
    script = "import sys, streamsr.zoo.registry as r; r.listing(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert not {b"torch", b"numpy"} & set(loaded.stdout.split())


def test_the_models_that_come_along_are_found() -> None:
    assert {"bicubic", "fast", "lanczos"} <= listing().keys()
    assert find("bicubic").facts.scale == 4


@pytest.mark.parametrize("name", ["bicubic", "fast", "lanczos"])
def test_the_models_that_come_along_upscale(name: str) -> None:
    loaded = load_model(find(name), CPU)
    grey = torch.full((1, loaded.facts.colour.channels, 12, 16), 0.4)
    ((_, output),), _ = loaded.step(grey, loaded.start(1, 12, 16))
    assert output.shape == (1, 48, 64)
    assert output.dtype is torch.float32
    assert (output[0, 16:-16, 16:-16] - 0.4).abs().max() < 0.03


def test_a_folder_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path / "flag" / "bicubic", description="by the flag")
    model(tmp_path / "flag" / "mine", description="by the flag")
    model(tmp_path / "environment" / "bicubic", description="by the environment")
    model(tmp_path / "environment" / "other", description="by the environment")
    monkeypatch.setenv("STREAMSR_MODELS", str(tmp_path / "environment"))
    assert find("bicubic").card.description == "by the environment"
    assert find("bicubic", [tmp_path / "flag"]).card.description == "by the flag"
    assert find("other", [tmp_path / "flag"]).folder == tmp_path / "environment" / "other"
    found = listing([tmp_path / "flag"])
    assert {"bicubic", "mine", "other", "lanczos"} <= found.keys()
    assert found["bicubic"].card.description == "by the flag"


def test_a_path_names_a_model_as_well(tmp_path: Path) -> None:
    folder = model(tmp_path / "apart" / "mine")
    entry = find(str(folder))
    assert (entry.name, entry.folder) == ("mine", folder)
    assert load_model(entry, CPU).facts == entry.facts


def test_a_name_that_is_none_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got 'bicubik' \(did you mean 'bicubic'\?\), allowed"):
        find("bicubik")
    with pytest.raises(ModelError, match="allowed are bicubic, fast"):
        find("xyzzy")
    with pytest.raises(ModelError, match=r"nowhere.*no card\.toml"):
        find(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="there is no such folder"):
        find("bicubic", [tmp_path / "nowhere"])


def test_a_damaged_card_is_told_and_hides_no_other_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "broken")
    (folder / CARD_NAME).write_text("description = ", encoding="utf-8")
    model(tmp_path / "whole")
    with pytest.raises(ModelError, match=r"broken/card\.toml: cannot be read as TOML"):
        find("broken", [tmp_path])
    with pytest.raises(ModelError, match=r"broken/card\.toml"):
        listing([tmp_path])
    assert find("whole", [tmp_path]).name == "whole"


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


@pytest.mark.parametrize("lookahead", [1, 2])
def test_a_lookahead_beyond_the_window_is_a_fault_of_the_card(
    tmp_path: Path, lookahead: int
) -> None:
    folder = model(tmp_path / "mine")
    edit(folder, "lookahead = 0", f"lookahead = {lookahead}")
    with pytest.raises(ModelError, match=r"card\.toml.*lookahead: got"):
        find(str(folder))


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
