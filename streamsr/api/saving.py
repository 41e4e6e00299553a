"""A network of one's own as a model: a folder that everything of streamsr runs."""

import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from streamsr.api.models import Model, model_of, path_of
from streamsr.core.config import parse
from streamsr.core.errors import ConfigError, ModelError
from streamsr.zoo.card import Card
from streamsr.zoo.loading import load_model
from streamsr.zoo.new_model import write_model
from streamsr.zoo.registry import find, folder_of_new

__all__ = ["save_model"]


def save_model(
    network: nn.Module,
    name: str,
    into: str | PathLike[str] = "models",
    *,
    made_by: str,
    scale: int,
    options: Mapping[str, bool | int | float | str] | None = None,
    window: int = 1,
    lookahead: int = 0,
    colour: Literal["rgb", "luma"] = "rgb",
    multiple: int = 1,
    description: str = "",
) -> Model:
    """Writes ``network`` with its weights as the model ``name`` in the folder ``into``.

    ``made_by`` is the name that its factory is registered by, or its entry point's, and ``options``
    are what that is called with to make the same network again. ``window`` frames are looked at for
    one, ``lookahead`` of them later ones; height and width are multiples of ``multiple``;
    ``colour`` is what it reads and writes. ``Upscaler(model.folder)`` runs it, and any command does
    with ``--model FOLDER``.

    Raises ModelError where there is a model of that name, and where what is written is not a model
    that can be loaded and does what is said of it; nothing is left then.
    """
    if not isinstance(network, nn.Module):
        raise ModelError(f"network: got {type(network).__name__}, allowed is a torch.nn.Module")
    folder = folder_of_new(name, Path(path_of(into, "into")))
    facts = {"scale": scale, "window": window, "lookahead": lookahead}
    said = {
        "description": description,
        "network": made_by,
        "options": dict(options or {}),
        "facts": facts | {"colour": colour, "multiple": multiple},
    }
    try:
        card = parse(said, Card, f"model {name!r}")
    except ConfigError as error:
        raise ModelError(str(error)) from None
    write_model(folder, network, card)
    try:
        entry = find(str(folder.resolve()))
        load_model(entry, torch.device("cpu"))
    except BaseException:
        shutil.rmtree(folder)
        raise
    return model_of(entry)
