"""Model folders for the tests of finding and loading them."""

from pathlib import Path

from streamsr.core.config import dump
from streamsr.networks.facts import Colour
from streamsr.networks.fast import Fast
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Card, FactsCard, Weights
from streamsr.zoo.weights import write_weights

__all__ = ["LUMA_X2", "edit", "member", "model"]

LUMA_X2 = FactsCard(scale=2, window=1, lookahead=0, colour=Colour.LUMA)


def model(
    folder: Path,
    *,
    network: str = "fast",
    options: dict[str, bool | int | str] | None = None,
    facts: FactsCard = LUMA_X2,
    description: str = "for tests",
    family: str | None = None,
    lighter: str | None = None,
) -> Path:
    """A model folder whose weights fit its network, whatever its facts say."""
    folder.mkdir(parents=True)
    options = {"features": 4, "layers": 2, "scale": 2} if options is None else options
    card = Card(
        description=description,
        family=family,
        lighter=lighter,
        network=network,
        options=options,
        facts=facts,
    )
    if network == "fast":
        sha256 = write_weights(folder / WEIGHTS_NAME, Fast(**options))  # type: ignore[arg-type]
        card = card.model_copy(update={"weights": Weights(sha256=sha256)})
    dump(card, folder / CARD_NAME)
    return folder


def member(folder: Path, family: str, scale: int, lighter: str | None = None) -> Path:
    """A member of a family, of ``fast`` in any scale."""
    options: dict[str, bool | int | str] = {"features": 4, "layers": 2, "scale": scale}
    facts = LUMA_X2.model_copy(update={"scale": scale})
    return model(folder, options=options, facts=facts, family=family, lighter=lighter)


def edit(folder: Path, old: str, new: str) -> None:
    """Replaces a part of a model's card."""
    path = folder / CARD_NAME
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
