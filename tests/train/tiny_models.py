"""Models with fresh weights, small enough to be trained in a test."""

from pathlib import Path

import torch

from streamsr.core.config import dump
from streamsr.networks.facts import Colour
from streamsr.zoo.card import Card, FactsCard, Weights
from streamsr.zoo.loading import make_network
from streamsr.zoo.weights import write_weights

__all__ = ["FAST", "model_folder"]

FAST = {
    "description": "for tests",
    "network": "fast",
    "options": {"features": 16, "layers": 3, "scale": 2},
    "facts": {"scale": 2, "window": 1, "lookahead": 0, "colour": "luma"},
    "origin": {"licence": "MIT"},
}


def model_folder(
    folder: Path, network: str, window: int, family: str | None = None, **options: int
) -> Path:
    """A model with fresh weights."""
    torch.manual_seed(3)
    scale, fold = options.get("scale", 4), options.get("fold", 1)
    facts = FactsCard(scale=scale, window=window, lookahead=0, colour=Colour.LUMA, multiple=fold)
    card = Card(
        description="tiny",
        family=family,
        network=network,
        options={"features": 8, "layers": 3, **options},
        facts=facts,
    )
    folder.mkdir(parents=True)
    weights = Weights(sha256=write_weights(folder / "weights.safetensors", make_network(card)))
    dump(card.model_copy(update={"weights": weights}), folder / "card.toml")
    return folder
