"""Writing the folder of a new model: its card and its weights, whole or not at all."""

import tempfile
from pathlib import Path

from torch import nn

from streamsr.core.config import dump
from streamsr.core.errors import ModelError
from streamsr.zoo.card import CARD_NAME, WEIGHTS_NAME, Card, Weights
from streamsr.zoo.weights import write_weights

__all__ = ["write_model"]


def write_model(folder: Path, network: nn.Module, card: Card) -> None:
    """Writes the model beside its place and moves it there, so that half of one is never found.

    A network without parameters and buffers has no weights. Raises ModelError.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".import-") as scratch:
            model = Path(scratch) / folder.name
            model.mkdir()
            if network.state_dict():
                weights = Weights(sha256=write_weights(model / WEIGHTS_NAME, network))
                card = card.model_copy(update={"weights": weights})
            dump(card, model / CARD_NAME)
            model.rename(folder)
    except OSError as error:
        raise ModelError(f"model folder {folder}: cannot be written: {error.strerror}") from None
