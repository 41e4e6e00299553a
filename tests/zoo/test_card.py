"""Model cards: written and read back alike, and whatever is wrong with one is said."""

from pathlib import Path

import pytest

from streamsr.core.config import dump, load
from streamsr.core.errors import ConfigError
from streamsr.networks.facts import Colour, Facts
from streamsr.zoo.card import CARD_NAME, Card, FactsCard, Origin, Weights
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import listing

MODELS = Path(__file__).parents[2] / "models"
SHA = "0123456789abcdef" * 4
WHOLE = Card(
    description='Quotes " and \\ backslashes, tabs\t, new\nlines, a DEL \x7f, Zürich → 京都',
    network="fast",
    options={"features": 8, "layers": 3, "tsa": True, "kernel": "bi'cubic"},
    family="quick",
    lighter="quicker",
    precision="bfloat16",
    facts=FactsCard(scale=4, window=5, lookahead=2, colour=Colour.RGB, multiple=4),
    weights=Weights(sha256=SHA),
    origin=Origin(trained_on="58 clips", licence="MIT", limits='"clean" input'),
    figures={"luma dB (Vid4)": "27.10, by streamsr eval", "ms a frame": "33"},
)
PLAIN = Card(
    description="Plain scaling",
    network="resample",
    facts=FactsCard(scale=2, window=1, lookahead=0, colour=Colour.LUMA),
)


@pytest.mark.parametrize("card", [WHOLE, PLAIN], ids=["whole", "plain"])
def test_a_card_is_read_as_it_was_written(tmp_path: Path, card: Card) -> None:
    dump(card, tmp_path / CARD_NAME)
    assert load(tmp_path / CARD_NAME, Card) == card


def test_a_card_for_int8_is_of_a_network_that_can_run_in_it(tmp_path: Path) -> None:
    single = FactsCard(scale=4, window=1, lookahead=0, colour=Colour.LUMA)
    pairs = single.model_copy(update={"window": 2})
    for network, facts in (("fast", single), ("recurrent", pairs)):
        card = WHOLE.model_copy(update={"precision": "int8", "network": network, "facts": facts})
        dump(card, tmp_path / CARD_NAME)
        assert load(tmp_path / CARD_NAME, Card) == card
    allowed = "allowed are 'fast' of window 1 and 'recurrent' of window 2"
    for network, facts in (("fast", pairs), ("recurrent", single), ("edvr", single)):
        card = WHOLE.model_copy(update={"precision": "int8", "network": network, "facts": facts})
        dump(card, tmp_path / CARD_NAME)
        said = f"got 'int8' for network '{network}' of window {facts.window}, {allowed}"
        with pytest.raises(ConfigError, match=said):
            load(tmp_path / CARD_NAME, Card)


def test_a_network_that_folds_its_input_states_a_multiple_of_it(tmp_path: Path) -> None:
    folded = WHOLE.model_copy(update={"options": {"fold": 2}, "facts": PLAIN.facts})
    dump(folded, tmp_path / CARD_NAME)
    with pytest.raises(
        ConfigError, match=r"facts.multiple: got 1, allowed are multiples of fold 2"
    ):
        load(tmp_path / CARD_NAME, Card)
    even = PLAIN.facts.model_copy(update={"multiple": 2})
    dump(folded.model_copy(update={"facts": even}), tmp_path / CARD_NAME)
    assert load(tmp_path / CARD_NAME, Card).facts.multiple == 2


@pytest.mark.parametrize("key", ["family", "lighter"])
def test_auto_is_no_familys_name(tmp_path: Path, key: str) -> None:
    dump(WHOLE.model_copy(update={key: "auto"}), tmp_path / CARD_NAME)
    with pytest.raises(ConfigError, match=f"{key}: got 'auto'.*no model's name"):
        load(tmp_path / CARD_NAME, Card)


def test_its_facts_are_the_networks_contract() -> None:
    assert WHOLE.facts.facts() == Facts(4, 5, 2, Colour.RGB, 4)


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        ('network = "fast"', 'netwrok = "fast"', "did you mean 'network'?"),
        ('network = "fast"', "", "key 'network' is missing"),
        ("scale = 4", "scale = 0", "facts.scale: got 0"),
        ("scale = 4", 'scale = "4"', "facts.scale: got '4'"),
        ("window = 5", "window = 99", "facts.window: got 99"),
        ("multiple = 4", "multipel = 4", "did you mean 'multiple'?"),
        ('colour = "rgb"', 'colour = "grey"', "facts.colour: got 'grey'"),
        ('precision = "bfloat16"', 'precision = "int4"', "precision: got 'int4'"),
        (f'sha256 = "{SHA}"', f'sha256 = "{SHA[1:]}"', "weights.sha256: got"),
        (f'sha256 = "{SHA}"', f'sha256 = "{SHA.upper()}"', "weights.sha256: got"),
        ('file = "weights.safetensors"', 'file = "../weights.safetensors"', "weights.file: got"),
        ('file = "weights.safetensors"', 'file = "weights.pth"', "weights.file: got"),
    ],
)
def test_a_fault_in_a_card_is_told(tmp_path: Path, line: str, wrong: str, said: str) -> None:
    path = tmp_path / CARD_NAME
    dump(WHOLE, path)
    text = path.read_text(encoding="utf-8")
    assert text.count(line) == 1
    path.write_text(text.replace(line, wrong), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, Card)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("entry", listing([MODELS]).values(), ids=lambda e: e.name)
def test_the_cards_that_come_along_hold(entry: object) -> None:
    card = getattr(entry, "card")  # noqa: B009 - of Entry
    assert make_network(card) is not None
    assert card.origin.licence
    assert card.family
